import { createHash, randomUUID } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import type { Limits } from '../../../src/destinations/connection.ts'
import type { Credentials, UploadTarget } from '../../../src/destinations/destination.ts'
import { createDestinations } from '../../../src/destinations/registry.ts'
import { KiB, MiB } from '../../../src/domain/bytes.ts'
import { createHashers } from '../../../src/hashing/hashers.ts'
import { describeDestination, PATIENT } from '../../contracts/destination.contract.ts'
import { type Nginx, startNginx } from '../../peers/nginx.ts'
import { describeWithPeers } from '../../peers/peer.ts'
import { startRclone } from '../../peers/rclone.ts'
import { type Fault, faultServer } from '../../support/fault-server.ts'
import { uploadTarget } from '../../support/upload-target.ts'
import { workersOf } from '../../support/workers.ts'

const hashers = createHashers(1)
const never = new AbortController().signal
afterAll(() => hashers.close())

const settings = (limits: Limits = PATIENT) => ({
  hashers,
  allowedNetworks: ['127.0.0.0/8'],
  allowedEndpoints: [],
  limits
})

/** A new folder at a real server, a proxy in front of it, and the folder behind it as it is on the disk. */
async function harness(base: string, files: string, limits: Limits) {
  const folder = randomUUID()
  const { port, pathname } = new URL(base)
  const faults = await faultServer(Number(port))
  const workers = workersOf('http', settings(limits))
  // nginx makes folders by itself.
  await fetch(`${base}/${folder}`, { method: 'MKCOL' })
  const onDisk = ({ url }: UploadTarget) => join(files, folder, url.pathname.slice(url.pathname.lastIndexOf('/') + 1))
  return {
    ...workers,
    atomic: false,
    marks: false,
    target: (length: number) => uploadTarget(`http://127.0.0.1:${faults.port}${pathname}/${folder}`, length),
    read: (target: UploadTarget) => readFile(onDisk(target)).catch(unlessMissing),
    kept: async () => ((await readdir(join(files, folder)).catch(unlessMissing)) ?? []).length,
    breakNextPart: (fault: Fault) => faults.inject(fault, ({ method }) => method === 'PUT'),
    async [Symbol.asyncDispose]() {
      workers.closeWorkers()
      await faults[Symbol.asyncDispose]()
    }
  }
}

function unlessMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}

describeWithPeers(['nginx'], 'nginx', () => {
  const start = async (limits: Limits) => {
    const nginx = await startNginx()
    return harness(`${nginx.http}/put`, nginx.files, limits)
  }
  describeDestination('http', start, { resumes: false })
})

describeWithPeers(['rclone'], 'rclone', () => {
  const start = async (limits: Limits) => {
    const { webdav, files } = await startRclone()
    return harness(webdav, files, limits)
  }
  describeDestination('http', start, { resumes: false })
})

const SIZE = 3 * MiB + 17
const byteAt = (index: number) => (index * 7 + (index >> 12)) % 256
const FILE = Buffer.from(Uint8Array.from({ length: SIZE }, (_, index) => byteAt(index)))
async function* file() {
  for (let at = 0; at < SIZE; at += 100 * KiB) yield FILE.subarray(at, at + 100 * KiB)
}
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

/** Sends the file below `base` and gives it back as it can be read there. */
async function exportTo(base: string, credentials?: Credentials) {
  const destinations = createDestinations(settings())
  const destination = destinations.forTarget(new URL(base))
  const target = uploadTarget(base, SIZE, credentials)
  try {
    destination.check(target.url, credentials)
    const facts: Record<string, unknown> = {}
    for (const { id, run } of destination.checks(target)) facts[id] = await run(never)
    const upload = await destination.open(target, never)
    try {
      await upload.putPart({ number: 1, offset: 0, length: SIZE }, file(), never)
      const committed = await upload.commit(never)
      const chunks: Uint8Array[] = []
      for await (const chunk of destination.read(target, { from: 0, to: SIZE }, never)) chunks.push(chunk)
      await destination.remove(target, never)
      return { committed, facts, target, bytes: Buffer.concat(chunks) }
    } catch (error) {
      await upload.abort()
      throw error
    }
  } finally {
    destinations.close()
  }
}

const localhost = (url: string) => url.replace('127.0.0.1', 'localhost')

describeWithPeers(['nginx'], 'an export to nginx', () => {
  it.each<[string, (nginx: Nginx) => [string, Credentials?]]>([
    ['over http', ({ http }) => [`${http}/put`]],
    ['with Basic', ({ http }) => [`${http}/auth`, { kind: 'basic', username: 'user', password: 'pass' }]],
    ['with Bearer', ({ http }) => [`${http}/bearer`, { kind: 'bearer', token: 'tok' }]],
    ['with a header', ({ http }) => [`${http}/header`, { kind: 'header', name: 'X-Upload-Key', value: 'letmein' }]],
    ['over https', ({ https, caPem }) => [`${https}/put`, { kind: 'none', tls: { ca_pem: caPem } }]],
    ['over https by name', ({ https, caPem }) => [`${localhost(https)}/put`, { kind: 'none', tls: { ca_pem: caPem } }]],
    [
      'over https with Basic',
      ({ https, caPem }) => [
        `${https}/auth`,
        { kind: 'basic', username: 'user', password: 'pass', tls: { ca_pem: caPem } }
      ]
    ],
    [
      'under the name that its certificate has',
      ({ httpsWrongName, caPem }) => [
        `${httpsWrongName}/put`,
        { kind: 'none', tls: { ca_pem: caPem, server_name: 'other.example' } }
      ]
    ],
    [
      'with a client certificate',
      ({ httpsClientCert, caPem, clientCertPem, clientKeyPem }) => [
        `${httpsClientCert}/put`,
        { kind: 'mtls', cert_pem: clientCertPem, key_pem: clientKeyPem, tls: { ca_pem: caPem } }
      ]
    ]
  ])('arrives %s', async (_, where) => {
    const [base, credentials] = where(await startNginx())

    const { committed, facts, target, bytes } = await exportTo(base, credentials)

    expect(sha256(bytes)).toBe(sha256(FILE))
    expect(committed).toMatchObject({ location: target.url.href })
    expect(facts['dest.write_probe']).toEqual({ bytes: expect.any(Number) })
    if (base.startsWith('https')) {
      expect(facts['dest.tls']).toEqual({
        version: expect.stringMatching(/^TLSv1\.[23]$/),
        certificate_expires_at: expect.stringMatching(/^20\d\d-/)
      })
    }
  })

  it.each<[string, (nginx: Nginx) => [string, Credentials?], object]>([
    ['an unknown authority', ({ https }) => [`${https}/put`], { code: 'DEST_TLS_UNTRUSTED', permanent: true }],
    [
      'an expired certificate',
      ({ httpsExpired, caPem }) => [`${httpsExpired}/put`, { kind: 'none', tls: { ca_pem: caPem } }],
      { code: 'DEST_TLS_UNTRUSTED', permanent: true, message: expect.stringContaining('expired') }
    ],
    [
      "another's certificate",
      ({ httpsWrongName, caPem }) => [`${httpsWrongName}/put`, { kind: 'none', tls: { ca_pem: caPem } }],
      { code: 'DEST_TLS_UNTRUSTED', permanent: true, message: expect.stringContaining('another name') }
    ],
    [
      'no client certificate',
      ({ httpsClientCert, caPem }) => [`${httpsClientCert}/put`, { kind: 'none', tls: { ca_pem: caPem } }],
      { code: 'DEST_AUTH_FAILED', permanent: true, upstreamStatus: 400 }
    ],
    [
      'a wrong password',
      ({ http }) => [`${http}/auth`, { kind: 'basic', username: 'user', password: 'wrong' }],
      { code: 'DEST_AUTH_FAILED', permanent: true, upstreamStatus: 401 }
    ],
    [
      'a wrong token',
      ({ http }) => [`${http}/bearer`, { kind: 'bearer', token: 'wrong' }],
      { code: 'DEST_AUTH_FAILED', permanent: true }
    ],
    [
      'a wrong header',
      ({ http }) => [`${http}/header`, { kind: 'header', name: 'X-Upload-Key', value: 'wrong' }],
      { code: 'DEST_FORBIDDEN', permanent: true }
    ],
    ['a limit of size', ({ http }) => [`${http}/small`], { code: 'DEST_LIMIT_EXCEEDED', permanent: true }],
    ['a place to read only', ({ http }) => [`${http}/ro`], { code: 'DEST_REJECTED', upstreamStatus: 405 }],
    ['a redirect', ({ http }) => [`${http}/r307`], { code: 'DEST_REJECTED', permanent: true, upstreamStatus: 307 }],
    [
      'a redirect to the metadata address',
      ({ http }) => [`${http}/rmeta`],
      { code: 'DEST_REJECTED', permanent: true, upstreamStatus: 302 }
    ],
    ['a refusal', ({ http }) => [`${http}/e403`], { code: 'DEST_FORBIDDEN', permanent: true, upstreamStatus: 403 }],
    ['an error of its own', ({ http }) => [`${http}/e500`], { code: 'DEST_REJECTED', permanent: false }],
    [
      'a pause',
      ({ http }) => [`${http}/e503`],
      { code: 'DEST_THROTTLED', permanent: false, retryAfterMs: 1000, upstreamStatus: 503 }
    ],
    ['no answer', ({ http }) => [`${http}/drop`], { code: 'DEST_UNREACHABLE', permanent: false }]
  ])('that meets %s says so', async (_, where, failure) => {
    const [base, credentials] = where(await startNginx())

    await expect(exportTo(base, credentials)).rejects.toMatchObject(failure)
  })

  it.each<[string, (nginx: Nginx) => [string, Credentials?], object]>([
    ['a redirect', ({ http }) => [`${http}/r307`], { code: 'DEST_REJECTED', permanent: true, upstreamStatus: 307 }],
    ['a refusal', ({ http }) => [`${http}/e403`], { code: 'DEST_FORBIDDEN', permanent: true }],
    ['an error of its own', ({ http }) => [`${http}/e500`], { code: 'DEST_REJECTED', permanent: false }],
    ['a pause', ({ http }) => [`${http}/e503`], { code: 'DEST_THROTTLED', permanent: false }],
    [
      'no client certificate',
      ({ httpsClientCert, caPem }) => [`${httpsClientCert}/put`, { kind: 'none', tls: { ca_pem: caPem } }],
      { code: 'DEST_AUTH_FAILED', actor: 'user', message: expect.stringContaining('kind mtls') }
    ]
  ])('that would meet %s is told so beforehand', async (_, where, failure) => {
    const [base, credentials] = where(await startNginx())
    const destinations = createDestinations(settings())
    const target = uploadTarget(base, 4, credentials)

    const checks = destinations.forTarget(target.url).checks(target)
    const asked = checks.find(({ id }) => id === 'dest.write_probe')?.run(never)

    await expect(asked).rejects.toMatchObject(failure)
    destinations.close()
  })

  it.each([
    ['auth', 401],
    ['e403', 403],
    ['ro', 405],
    ['small', 413]
  ])('that /%s/ refuses with %d costs nothing of the image', async (place, status) => {
    const { http } = await startNginx()
    const destinations = createDestinations(settings())
    const target = uploadTarget(`${http}/${place}`, SIZE)
    const upload = await destinations.forTarget(target.url).open(target, never)
    let asked = 0
    async function* counted() {
      asked += 1
      yield FILE
    }

    const sent = upload.putPart({ number: 1, offset: 0, length: SIZE }, counted(), never)

    await expect(sent).rejects.toMatchObject({ permanent: true, upstreamStatus: status })
    expect(asked).toBe(0)
    destinations.close()
  })
})

describeWithPeers(['rclone'], 'rclone, which keeps what it got of a broken PUT,', () => {
  it('is left without it', async () => {
    const { webdav, files } = await startRclone()
    await using place = await harness(webdav, files, PATIENT)
    const target = place.target(SIZE)
    const upload = await place.destination.open(target, never)
    async function* dies() {
      yield FILE.subarray(0, MiB)
      await expect.poll(() => place.read(target).then((bytes) => bytes?.length ?? 0)).toBeGreaterThan(0)
      throw new Error('source died')
    }
    await expect(upload.putPart({ number: 1, offset: 0, length: SIZE }, dies(), never)).rejects.toThrow('source died')

    expect(await upload.abort()).toEqual(['object'])

    expect(await place.kept()).toBe(0)
  })

  it('is not believed when it has less', async () => {
    const { webdav, files } = await startRclone()
    await using place = await harness(webdav, files, PATIENT)
    const target = place.target(SIZE)
    const upload = await place.destination.open(target, never)
    // On the way the body loses its end, and its length is changed to fit.
    place.breakNextPart({ kind: 'shorten', toBytes: MiB })
    await upload.putPart({ number: 1, offset: 0, length: SIZE }, file(), never)

    await expect(upload.commit(never)).rejects.toMatchObject({ code: 'DEST_INTEGRITY_MISMATCH', permanent: false })
    expect(await upload.abort()).toEqual(['object'])

    expect(await place.kept()).toBe(0)
  })

  it('takes a whole export', async () => {
    const { webdav } = await startRclone()

    const { bytes, facts } = await exportTo(webdav)

    expect(sha256(bytes)).toBe(sha256(FILE))
    expect(facts['dest.write_probe']).toEqual({ bytes: expect.any(Number) })
  })
})
