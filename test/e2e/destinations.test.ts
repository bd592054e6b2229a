import { createHash, randomUUID } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { CreateBucketCommand, GetObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createDestinations } from '../../src/destinations/registry.ts'
import { createHashers } from '../../src/hashing/hashers.ts'
import { startNginx } from '../peers/nginx.ts'
import { describeWithPeers } from '../peers/peer.ts'
import { startRadosgw } from '../peers/radosgw.ts'
import type { PeerName } from '../peers/servers/registry.ts'
import { startSshd } from '../peers/sshd.ts'
import { type S3Access, startSwift, startSwiftWithKeystone } from '../peers/swift.ts'
import { makeDiskImage } from '../support/disk-image.ts'
import { freshDatabase } from '../support/postgres.ts'
import { qemuImg } from '../support/qemu-img.ts'
import { removeDataDir } from '../support/remove-data-dir.ts'
import { Client, type Json, type ServiceProcess, startProcess } from '../support/service.ts'

type Credentials = Readonly<Record<string, unknown>>
/** A place on a real server: where to export to, how to get in and how not to, and how to read what is there. */
type Place = {
  readonly exportTo: string
  readonly credentials?: Credentials
  readonly wrong: { readonly credentials?: Credentials; readonly exportTo?: string; readonly code: string | number }
  read(location: string): Promise<Buffer>
}

const START_MS = 300_000
const name = () => `t${randomUUID()}`

let folder: string
let service: ServiceProcess
let client: Client
let image: string
const closing: (() => Promise<unknown>)[] = []

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'e2e-'))
  closing.push(() => removeDataDir(folder))
  const database = await freshDatabase()
  closing.push(database.drop)
  await mkdir(join(folder, 'exports'))
  service = startProcess('all', {
    DATA_DIR: join(folder, 'data'),
    DATABASE_URL: database.url,
    FILE_ROOT: join(folder, 'exports')
  })
  closing.push(() => service.stop())
  client = new Client(String((await service.line('listening')).url))
  await makeDiskImage({ path: join(folder, 'disk.raw'), sizeMiB: 64, contentMiB: 16 })
  image = await client.upload(await readFile(join(folder, 'disk.raw')), 'raw')
})
afterAll(async () => {
  for (const close of closing.reverse()) await close()
})

const overHttp = async (url: string, headers: Record<string, string>) =>
  Buffer.from(await (await fetch(url, { headers })).arrayBuffer())

async function nginxPlace(): Promise<Place> {
  const nginx = await startNginx()
  return {
    exportTo: `${nginx.http}/auth/${name()}`,
    credentials: { kind: 'basic', username: 'user', password: 'pass' },
    wrong: { credentials: { kind: 'basic', username: 'user', password: 'wrong' }, code: 'DEST_AUTH_FAILED' },
    read: (location) => overHttp(location, { authorization: `Basic ${btoa('user:pass')}` })
  }
}

async function tlsPlace(): Promise<Place> {
  const nginx = await startNginx()
  const tls = { ca_pem: nginx.caPem }
  const keys = { cert_pem: nginx.clientCertPem, key_pem: nginx.clientKeyPem }
  return {
    exportTo: `${nginx.httpsClientCert}/put/${name()}`,
    credentials: { kind: 'mtls', ...keys, tls },
    wrong: { credentials: { kind: 'mtls', ...keys }, code: 'DEST_TLS_UNTRUSTED' },
    read: async (location) => {
      const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
      const options = { ca: nginx.caPem, cert: nginx.clientCertPem, key: nginx.clientKeyPem }
      request(location, options, (answer) => buffer(answer).then(resolve, reject))
        .on('error', reject)
        .end()
      return promise
    }
  }
}

async function s3Place(s3: S3Access): Promise<Place> {
  const bucket = name()
  const { endpoint, ...credentials } = s3
  const sdk = new S3Client({ endpoint, credentials, region: 'us-east-1', forcePathStyle: true })
  await sdk.send(new CreateBucketCommand({ Bucket: bucket }))
  const keys = (secret: string) => ({
    kind: 's3_static',
    access_key_id: s3.accessKeyId,
    secret_access_key: secret,
    endpoint,
    addressing_style: 'path'
  })
  return {
    exportTo: `s3://${bucket}/vm`,
    credentials: keys(s3.secretAccessKey),
    wrong: { credentials: keys('wrong'), code: 'DEST_AUTH_FAILED' },
    read: async (location) => {
      const key = new URL(location).pathname.slice(1)
      const { Body } = await sdk.send(new GetObjectCommand({ Bucket: bucket, Key: key }))
      return Buffer.from((await Body?.transformToByteArray()) ?? [])
    }
  }
}

/** Objects of Swift are at `swift://host/AUTH_x/container/object`. */
const readSwift = (location: string, token: string) => {
  const { host, pathname } = new URL(location)
  return overHttp(`http://${host}/v1${pathname}`, { 'x-auth-token': token })
}

async function makeContainer(url: string, token: string): Promise<void> {
  const { status } = await fetch(url, { method: 'PUT', headers: { 'x-auth-token': token } })
  if (status !== 201) throw new Error(`Swift answered ${status} to PUT of a container`)
}

async function tempauthPlace(): Promise<Place> {
  const swift = await startSwift()
  const keys = (key: string) => ({ kind: 'tempauth', auth_url: swift.authUrl, user: 'test:tester', key })
  const login = await fetch(swift.authUrl, { headers: { 'x-auth-user': 'test:tester', 'x-auth-key': 'testing' } })
  const token = login.headers.get('x-auth-token') ?? ''
  const container = name()
  await makeContainer(`${login.headers.get('x-storage-url')}/${container}`, token)
  return {
    exportTo: `swift://${swift.storageHost}/AUTH_test/${container}/vm`,
    credentials: keys('testing'),
    wrong: { credentials: keys('wrong'), code: 'DEST_AUTH_FAILED' },
    read: (location) => readSwift(location, token)
  }
}

async function keystonePlace(): Promise<Place> {
  const swift = await startSwiftWithKeystone()
  const { demo } = swift.users
  const domain = { id: 'default' }
  const user = { name: demo.name, password: demo.password, domain }
  const identity = { methods: ['password'], password: { user } }
  const login = await fetch(`${swift.keystoneUrl}/auth/tokens`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ auth: { identity, scope: { project: { id: demo.projectId } } } })
  })
  const token = login.headers.get('x-subject-token') ?? ''
  const account = `AUTH_${demo.projectId}`
  const container = name()
  await makeContainer(`http://${swift.keystoneStorageHost}/v1/${account}/${container}`, token)
  const keys = (password: string) => ({
    kind: 'password',
    auth_url: swift.keystoneUrl,
    username: demo.name,
    password,
    project_name: demo.project
  })
  return {
    exportTo: `swift://${swift.keystoneStorageHost}/${account}/${container}/vm`,
    credentials: keys(demo.password),
    wrong: { credentials: keys('wrong'), code: 'DEST_AUTH_FAILED' },
    read: (location) => readSwift(location, token)
  }
}

async function sshPlace(): Promise<Place> {
  const sshd = await startSshd()
  const keys = (username: string) => ({
    kind: 'ssh_key',
    username,
    private_key: sshd.privateKeyPem,
    host_key_sha256: sshd.hostKeySha256
  })
  return {
    exportTo: `sftp://${sshd.host}:${sshd.port}${sshd.root}`,
    credentials: keys(sshd.username),
    wrong: { credentials: keys('nobody'), code: 'DEST_AUTH_FAILED' },
    read: (location) => readFile(new URL(location).pathname)
  }
}

async function filePlace(): Promise<Place> {
  const there = join(folder, 'exports')
  return {
    exportTo: 'file:///backup',
    wrong: { credentials: { kind: 'bearer', token: 'x' }, code: 400 }, // refused at once: files know no logins
    read: (location) => readFile(join(there, 'demo', new URL(location).pathname))
  }
}

const PLACES: readonly (readonly [scheme: string, server: string, PeerName[], () => Promise<Place>])[] = [
  ['http', 'nginx', ['nginx'], nginxPlace],
  ['https', 'nginx with client certificates', ['nginx'], tlsPlace],
  ['s3', 'Swift', ['swift'], async () => s3Place((await startSwift()).s3)],
  ['s3', 'Ceph RGW', ['radosgw'], async () => s3Place((await startRadosgw()).s3)],
  ['swift', 'Swift with TempAuth', ['swift'], tempauthPlace],
  ['swift', 'Swift with Keystone', ['swift-keystone'], keystonePlace],
  ['sftp', 'OpenSSH', ['sshd'], sshPlace],
  ['file', 'this machine', [], filePlace]
]

const exported = async (exportTo: string, credentials: Credentials | undefined): Promise<Json> => {
  const body = { task_type: 'export', image_uuid: image, export_to: exportTo, export_format: 'qcow2' }
  const request = { ...body, ...(credentials && { export_to_credentials: credentials }) }
  const created = await client.call('POST', '/v2/tasks', request)
  return created.status === 201 ? client.ended(String(created.body.id)) : created.body
}

describe.each(PLACES)('%s', (_scheme, server, peers, start) => {
  describeWithPeers(peers, `on ${server}`, () => {
    let place: Place
    beforeAll(async () => {
      place = await start()
    }, START_MS)

    it('takes an image, which is there byte for byte', async () => {
      const task = await exported(place.exportTo, place.credentials)

      expect(task).toMatchObject({ task_status: 'success', message: '' })
      const bytes = await place.read(String(task.export_location))
      const sha256 = createHash('sha256').update(bytes).digest('hex')
      expect(task.result).toMatchObject({ bytes: bytes.length, checksums: { sha256 } })
      const path = join(folder, name())
      await writeFile(path, bytes)
      await qemuImg('check', '-q', '-f', 'qcow2', path)
      await qemuImg('compare', '-q', '-f', 'raw', '-F', 'qcow2', join(folder, 'disk.raw'), path)
      await rm(path)
    })

    it('says whose turn it is when it may not write', async () => {
      const { credentials, code, exportTo = place.exportTo } = place.wrong
      const task = await exported(exportTo, credentials)
      expect(task.failure ?? task.error).toMatchObject({ code })
    })
  })
})

it('every registered destination is tested here', () => {
  const settings = { allowedNetworks: [], allowedEndpoints: [], fileRoot: folder }
  const { schemes, close } = createDestinations({ hashers: createHashers(1), ...settings })
  close()
  expect([...new Set(PLACES.map(([scheme]) => scheme))].sort()).toEqual([...schemes].sort())
})
