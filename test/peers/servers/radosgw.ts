import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Radosgw, RadosgwOptions } from '../radosgw.ts'
import { freePorts, type Processes } from './processes.ts'

export const NEEDS = {
  '/usr/bin/ceph-mon': 'ceph-mon',
  '/usr/bin/ceph-osd': 'ceph-osd',
  '/usr/bin/ceph': 'ceph-common',
  '/usr/bin/radosgw': 'radosgw'
}

const CLUSTER = '11111111-2222-3333-4444-555555555555'
const OSD = 'aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee'
const ACCESS_KEY = 'testkey'
const SECRET_KEY = 'testsecret'
const SWIFT_KEY = 'swiftsecret'
const KMS_KEY = 'testkey-1'
const DNS_NAME = 's3.radosgw.test'
const ROLE = 'exporter'

/** Ceph with one monitor, one OSD that keeps its data in memory, and RGW in front of it; no authentication among them. */
export async function startRadosgw(processes: Processes, { roles = false }: RadosgwOptions): Promise<Radosgw> {
  const { folder } = processes
  const port = await freePorts(10)
  const conf = join(folder, 'ceph.conf')
  const user = 'ceph'
  await writeFile(conf, config(folder, port, roles))
  await processes.run({ argv: ['mkdir', 'mon', 'osd', 'rgw', 'log'] })
  const address = `v1:127.0.0.1:${port + 1}`
  await processes.run({ argv: ['monmaptool', '--create', '--fsid', CLUSTER, '--addv', 'a', `[${address}]`, 'monmap'] })
  await processes.own(user)

  await processes.run({ argv: ['ceph-mon', '-c', conf, '--mkfs', '-i', 'a', '--monmap', 'monmap'], user })
  await processes.serve('mon', { argv: ['ceph-mon', '-c', conf, '-f', '-i', 'a', '--public-addr', address], user }, [
    port + 1
  ])
  // A monitor that is milliseconds old refuses one first command in fifty.
  const command = (...argv: [string, ...string[]]) => insist(() => processes.run({ argv }))
  await command('ceph', '-c', conf, 'osd', 'new', OSD, '0')
  await command('ceph', '-c', conf, 'osd', 'crush', 'create-or-move', 'osd.0', '1.0', 'host=h', 'root=default')
  await processes.run({ argv: ['ceph-osd', '-c', conf, '-i', '0', '--mkfs', '--osd-uuid', OSD], user })
  await processes.serve('osd', { argv: ['ceph-osd', '-c', conf, '-f', '-i', '0'], user }, [])
  // RGW makes pools as soon as it connects, and for those the OSD has to take part.
  await processes.until('osd', async () =>
    (await readFile(join(folder, 'log/osd.0.log'), 'utf8').catch(() => '')).includes('state: booting -> active')
  )
  const frontend = `beast endpoint=127.0.0.1:${port}`
  const gateway: [string, ...string[]] = [
    'radosgw',
    '-c',
    conf,
    '-f',
    '-n',
    'client.rgw.a',
    '--rgw-frontends',
    frontend
  ]
  await processes.serve('rgw', { argv: gateway, user }, [port])

  const account = ['--uid=test', '--display-name=test', `--access-key=${ACCESS_KEY}`, `--secret-key=${SECRET_KEY}`]
  await command('radosgw-admin', '-c', conf, 'user', 'create', ...account)
  const login = ['--uid=test', '--subuser=test:swift', '--access=full', '--key-type=swift', `--secret=${SWIFT_KEY}`]
  await command('radosgw-admin', '-c', conf, 'subuser', 'create', ...login)
  await command('radosgw-admin', '-c', conf, 'role', 'create', `--role-name=${ROLE}`, assumedBy('test'))
  await command('radosgw-admin', '-c', conf, 'role-policy', 'put', `--role-name=${ROLE}`, '--policy-name=s3', MAY_ALL)
  const endpoint = `http://127.0.0.1:${port}`
  return {
    s3: { endpoint, accessKeyId: ACCESS_KEY, secretAccessKey: SECRET_KEY },
    roleArn: `arn:aws:iam:::role/${ROLE}`,
    kmsKeyId: KMS_KEY,
    dnsName: DNS_NAME,
    swiftAuthUrl: `${endpoint}/auth/v1.0`,
    user: 'test:swift',
    key: SWIFT_KEY
  }
}

const assumedBy = (user: string): string =>
  `--assume-role-policy-doc=${policy({ Principal: { AWS: [`arn:aws:iam:::user/${user}`] }, Action: ['sts:AssumeRole'] })}`
const policy = (statement: object): string =>
  JSON.stringify({ Version: '2012-10-17', Statement: [{ Effect: 'Allow', ...statement }] })
const MAY_ALL = `--policy-doc=${policy({ Action: ['s3:*'], Resource: 'arn:aws:s3:::*' })}`

async function insist(attempt: () => Promise<unknown>): Promise<void> {
  for (let left = 4; ; left -= 1) {
    const error = await attempt().then(
      () => undefined,
      (error: unknown) => error
    )
    if (error === undefined) return
    if (left === 0) throw error
    await sleep(200)
  }
}

const config = (folder: string, port: number, roles: boolean) => `
[global]
fsid = ${CLUSTER}
mon_host = v1:127.0.0.1:${port + 1}
mon_initial_members = a
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
ms_bind_port_min = ${port + 2}
ms_bind_port_max = ${port + 9}
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
run_dir = ${folder}
log_file = ${folder}/log/$name.log
admin_socket =
pid_file =
crash_dir = ${folder}/log
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pgp_num = 1
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 10000
paxos_propose_interval = 0.02
paxos_min_wait = 0.01
mon_data = ${folder}/mon
mon_data_avail_crit = 0
mon_data_avail_warn = 1
osd_data = ${folder}/osd
osd_objectstore = memstore
memstore_device_bytes = 4294967296
osd_op_num_shards = 1
osd_op_num_threads_per_shard = 1
debug_rgw = 0
debug_osd = 1
debug_mon = 0
osd_crush_update_on_start = false
osd_class_update_on_start = false
rgw_data = ${folder}/rgw
rgw_rados_pool_pg_num_min = 1
rgw_thread_pool_size = 16
rgw_num_rados_handles = 1
rgw_enable_usage_log = false
rgw_enable_gc_threads = false
rgw_enable_lc_threads = false
rgw_enable_quota_threads = false
rgw_run_sync_thread = false
rgw_enable_static_website = false
rgw_swift_account_in_url = true
rgw_s3_auth_use_sts = ${roles}
rgw_sts_key = sixteen-byte-key
rgw_crypt_require_ssl = false
rgw_crypt_s3_kms_backend = testing
rgw_crypt_s3_kms_encryption_keys = ${KMS_KEY}=${Buffer.alloc(32, 'k').toString('base64')}
rgw_dns_name = ${DNS_NAME}
`
