import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePorts } from '../../test/peers/servers/processes.ts'
import { startChild, stopChild } from '../processes.ts'
import { SERVER_CORE, type Side } from './side.ts'
import { runToEnd } from './tools.ts'

const PYTHON = '/usr/bin/python3'
const MANAGE = '/usr/bin/glance-manage'
const PATIENCE_MS = 120_000

/** A real Glance in one process on SQLite, without Keystone. Its tasks are of type import, the only one it takes. */
export async function startGlance(folder: string): Promise<Side> {
  if (!existsSync(MANAGE)) {
    throw new Error(
      'Glance is missing: apt-get install --no-install-recommends glance-api glance-common python3-glance'
    )
  }
  const port = await freePorts(1)
  const config = await configure(folder, port)
  await runToEnd(MANAGE, ['--config-file', config, 'db_sync'])
  const child = startChild(
    'taskset',
    ['-c', SERVER_CORE, PYTHON, join(import.meta.dirname, 'glance_server.py'), '--config-file', config],
    { stdout: 'ignore', env: { PYTHONPATH: import.meta.dirname } }
  )
  const url = `http://127.0.0.1:${port}`
  await untilHealthy(url)
  const input = { import_from: 'http://127.0.0.1:80/image.qcow2', import_from_format: 'qcow2', image_properties: {} }
  return {
    name: 'Glance',
    url,
    newTasks: () => [JSON.stringify({ type: 'import', input })],
    async insertRows(owner, count, above) {
      await runToEnd(PYTHON, ['-c', INSERT, join(folder, 'glance.sqlite'), owner, String(count), String(above)])
    },
    stop: () => stopChild(child)
  }
}

/** A second apart, the newest last, as by our side. */
const INSERT = `
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("""
  insert into tasks (id, type, status, owner, created_at, updated_at, deleted, expires_at, request_id, user_id)
  with recursive counted(i) as (select ?1 + 1 union all select i + 1 from counted where i < ?1 + ?2)
  select printf('%08x-0000-4000-8000-%012x', i, i), 'import', 'processing', ?3, datetime('2020-01-01', '+' || i || ' seconds'),
         datetime('2020-01-01', '+' || i || ' seconds'), 0, null, 'req-1', 'u' from counted""", (int(sys.argv[4]), int(sys.argv[3]), sys.argv[2]))
db.execute("""insert into task_info (task_id, input, message) select id, '{}', '' from tasks where owner = ?""", (sys.argv[2],))
db.commit()
db.execute('analyze')
db.commit()
`

async function untilHealthy(url: string): Promise<void> {
  for (const giveUpAt = Date.now() + PATIENCE_MS; Date.now() < giveUpAt; await sleep(200)) {
    const answer = await fetch(`${url}/healthcheck`).catch(() => undefined)
    if (answer?.ok) return
  }
  throw new Error(`Glance is not up after ${PATIENCE_MS / 1000} s`)
}

async function configure(folder: string, port: number): Promise<string> {
  for (const name of ['images', 'staging', 'work', 'lock', 'log', 'policy.d'])
    await mkdir(join(folder, name), { recursive: true })
  const config = join(folder, 'glance-api.conf')
  await writeFile(join(folder, 'policy.yaml'), '"tasks_api_access": "role:admin or role:member"\n')
  await writeFile(join(folder, 'paste.ini'), PASTE)
  await writeFile(
    config,
    `[DEFAULT]
bind_host = 127.0.0.1
bind_port = ${port}
workers = 0
log_file = ${folder}/log/api.log
enabled_backends = file:file
[database]
connection = sqlite:///${folder}/glance.sqlite
[glance_store]
default_backend = file
[file]
filesystem_store_datadir = ${folder}/images
[os_glance_staging_store]
filesystem_store_datadir = ${folder}/staging
[os_glance_tasks_store]
filesystem_store_datadir = ${folder}/work
[paste_deploy]
config_file = ${folder}/paste.ini
[import_filtering_opts]
allowed_hosts = [127.0.0.1]
allowed_ports = [80]
[task]
work_dir = ${folder}/work
[oslo_policy]
policy_file = ${folder}/policy.yaml
policy_dirs = ${folder}/policy.d
[oslo_concurrency]
lock_path = ${folder}/lock
`
  )
  return config
}

const PASTE = `
[pipeline:glance-api]
pipeline = healthcheck versionnegotiation tokens context rootapp
[composite:rootapp]
paste.composite_factory = glance.api:root_app_factory
/: apiversions
/v2: apiv2app
[app:apiversions]
paste.app_factory = glance.api.versions:create_resource
[app:apiv2app]
paste.app_factory = glance.api.v2.router:API.factory
[filter:healthcheck]
paste.filter_factory = oslo_middleware:Healthcheck.factory
[filter:versionnegotiation]
paste.filter_factory = glance.api.middleware.version_negotiation:VersionNegotiationFilter.factory
[filter:tokens]
paste.filter_factory = glance_server:dev_tokens
[filter:context]
paste.filter_factory = glance.api.middleware.context:ContextMiddleware.factory
`
