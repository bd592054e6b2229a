import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chmod, copyFile, mkdir, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Keystone, KeystoneUser } from '../keystone.ts'
import { freePorts, type Processes } from './processes.ts'

export const NEEDS = {
  '/usr/bin/keystone-manage': 'keystone',
  '/usr/bin/uwsgi': 'uwsgi',
  '/usr/lib/uwsgi/plugins/python3_plugin.so': 'uwsgi-plugin-python3'
}

const CACHE = join(import.meta.dirname, '../../../node_modules/.cache/peers')
const USER = 'keystone'
const ADMIN = 'admin'

/** Keystone on SQLite under uWSGI, with one process and one thread: more of them lock the database against each other. */
export async function startKeystone(processes: Processes): Promise<Keystone> {
  const { folder } = processes
  const port = await freePorts(1)
  const url = `http://127.0.0.1:${port}`
  const conf = join(folder, 'keystone.conf')
  await processes.run({ argv: ['mkdir', 'db', 'fernet-keys', 'credential-keys'] })
  await writeFile(conf, config(folder, url))
  await writeFile(join(folder, 'policy.yaml'), '')
  for (const keys of ['fernet-keys', 'credential-keys']) {
    for (const name of ['0', '1'])
      await writeFile(join(folder, keys, name), `${randomBytes(32).toString('base64url')}=`)
    await chmod(join(folder, keys), 0o700)
  }
  await processes.own(USER)
  await makeDatabase(processes, conf)

  const http = ['--http', `127.0.0.1:${port}`, '--http-timeout', '60', '--socket', 'u.sock', '--http-to', 'u.sock']
  const one = ['--master', '--no-orphans', '--die-on-term', '--need-app', '--processes', '1', '--threads', '1']
  const app = ['--wsgi-file', '/usr/bin/keystone-wsgi-public', '--buffer-size', '65535', '--disable-logging']
  // uWSGI closes every connection after one answer, and clients that do not hear of it send their next request into the void.
  const close = ['--add-header', 'Connection: close']
  const argv: [string, ...string[]] = ['uwsgi', '--plugins', 'python3,http', ...http, ...one, ...app, ...close]
  const env = { OS_KEYSTONE_CONFIG_FILES: conf }
  await processes.serve('keystone', { argv, env, user: USER, cwd: join(folder, 'db') }, [port])
  return { keystoneUrl: `${url}/v3`, users: await seed(`${url}/v3`) }
}

/** The schema and the administrator, which take long to make, are kept for the next run by Keystone's version. */
async function makeDatabase(processes: Processes, conf: string): Promise<void> {
  const database = join(processes.folder, 'db/keystone.db')
  const version = await processes.run({
    argv: ['dpkg-query', '-W', '--showformat', '$' + '{Version}', 'python3-keystone']
  })
  const kept = join(CACHE, `keystone-${version.replace(/[^\w.+-]/g, '_')}.db`)
  if (!existsSync(kept)) {
    const manage = (...args: string[]) =>
      processes.run({ argv: ['keystone-manage', '--config-file', conf, ...args], user: USER })
    await manage('db_sync')
    await manage('bootstrap', '--bootstrap-password', ADMIN, '--bootstrap-region-id', 'RegionOne')
    await mkdir(CACHE, { recursive: true })
    await copyFile(database, `${kept}.${process.pid}`)
    await rename(`${kept}.${process.pid}`, kept)
  }
  await copyFile(kept, database)
  // Without a write-ahead log, readers that linger lock the database.
  const wal = 'import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute("pragma journal_mode=wal").fetchone()'
  await processes.run({ argv: ['/usr/bin/python3', '-c', wal, database] })
  await processes.own(USER, 'db')
}

const USERS = {
  demo: { project: 'demo', roles: ['member', 'reader'] },
  reader: { project: 'demo', roles: ['reader'] },
  other: { project: 'other', roles: ['member', 'reader'] },
  service: { project: 'service', roles: ['admin', 'ResellerAdmin'] }
} as const

type Named = { readonly id: string; readonly name: string }

async function seed(url: string): Promise<Keystone['users']> {
  const call = await login(url)
  const all = async (kinds: string) =>
    new Map((await call('GET', `/${kinds}`)).body[kinds]?.map(({ id, name }) => [name, id]))
  const make = async (kind: string, fields: object): Promise<string> =>
    (await call('POST', `/${kind}s`, { [kind]: fields })).body[kind]?.id ?? ''
  const roles = await all('roles')
  const projects = await all('projects')
  const people = await all('users')
  roles.set('ResellerAdmin', await make('role', { name: 'ResellerAdmin' }))
  for (const name of ['demo', 'other', 'service'])
    projects.set(name, await make('project', { name, domain_id: 'default' }))

  const user = async (name: keyof typeof USERS): Promise<KeystoneUser> => {
    const { project, roles: own } = USERS[name]
    const projectId = projects.get(project) ?? ''
    const id = await make('user', { name, password: name, domain_id: 'default', default_project_id: projectId })
    for (const role of own) await call('PUT', `/projects/${projectId}/users/${id}/roles/${roles.get(role)}`)
    return { name, password: name, id, project, projectId }
  }
  await endpoint(call, 'identity', `${url}/`)
  const ids = { id: people.get(ADMIN) ?? '', projectId: projects.get(ADMIN) ?? '' }
  return {
    demo: await user('demo'),
    reader: await user('reader'),
    other: await user('other'),
    service: await user('service'),
    admin: { name: ADMIN, password: ADMIN, project: ADMIN, ...ids }
  }
}

/** Puts the object store into the catalogue. */
export async function catalogue({ keystoneUrl }: Keystone, objectStoreUrl: string): Promise<void> {
  await endpoint(await login(keystoneUrl), 'object-store', objectStoreUrl)
}

async function endpoint(call: Call, type: string, url: string): Promise<void> {
  const { service } = (await call('POST', '/services', { service: { type, name: type } })).body
  for (const face of ['public', 'internal', 'admin'])
    await call('POST', '/endpoints', {
      endpoint: { service_id: service?.id, interface: face, url, region_id: 'RegionOne' }
    })
}

/** An answer of Keystone: one thing below its kind's name, or a list of them. */
type Answer = { readonly [kind: string]: Named & Named[] }
type Call = (method: string, path: string, body?: object) => Promise<{ headers: Headers; body: Answer }>

async function login(url: string): Promise<Call> {
  let token: string | undefined
  const call: Call = async (method, path, body) => {
    const response = await fetch(url + path, {
      method,
      headers: { 'content-type': 'application/json', ...(token && { 'x-auth-token': token }) },
      ...(body && { body: JSON.stringify(body) })
    })
    const text = await response.text()
    if (!response.ok) throw new Error(`Keystone answered ${response.status} to ${method} ${path}: ${text}`)
    return { headers: response.headers, body: text === '' ? {} : JSON.parse(text) }
  }
  const domain = { id: 'default' }
  const identity = { methods: ['password'], password: { user: { name: ADMIN, password: ADMIN, domain } } }
  const auth = { identity, scope: { project: { name: ADMIN, domain } } }
  const { headers } = await call('POST', '/auth/tokens', { auth })
  token = headers.get('x-subject-token') ?? ''
  return call
}

/** `memory_pickle` makes requests ten times faster; plain `memory` spoils EC2 credentials. */
const config = (folder: string, url: string) => `
[DEFAULT]
log_file = ${folder}/keystone-app.log
use_stderr = false
default_log_levels = keystone=INFO,sqlalchemy=WARN
public_endpoint = ${url}/
[database]
connection = sqlite:///${folder}/db/keystone.db
sqlite_synchronous = false
[token]
provider = fernet
expiration = 3600
allow_expired_window = 172800
[fernet_tokens]
key_repository = ${folder}/fernet-keys
[fernet_receipts]
key_repository = ${folder}/fernet-keys
[credential]
key_repository = ${folder}/credential-keys
[identity]
password_hash_algorithm = bcrypt
password_hash_rounds = 4
[cache]
enabled = true
backend = dogpile.cache.memory_pickle
[trust]
allow_redelegation = true
[oslo_policy]
policy_file = ${folder}/policy.yaml
`
