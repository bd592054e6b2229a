import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import type { Credentials, UploadTarget } from '../../../src/destinations/destination.ts'
import { createDestinations } from '../../../src/destinations/registry.ts'
import { createHashers } from '../../../src/hashing/hashers.ts'
import { describeDestination, PATIENT } from '../../contracts/destination.contract.ts'
import { type Fault, faultServer } from '../../support/fault-server.ts'
import { putServer } from '../../support/put-server.ts'
import { uploadTarget } from '../../support/upload-target.ts'
import { workersOf } from '../../support/workers.ts'

const hashers = createHashers(1)
afterAll(() => hashers.close())

async function start(credentials?: Credentials, limits = PATIENT, replace = false) {
  const server = await putServer()
  const faults = await faultServer(server.port)
  const workers = workersOf('http', { hashers, allowedNetworks: ['127.0.0.0/8'], allowedEndpoints: [], limits })
  return {
    ...workers,
    atomic: false,
    marks: false,
    server,
    faults,
    target: (length: number) =>
      uploadTarget(`http://127.0.0.1:${faults.port}/folder`, length, credentials, { object: { replace } }),
    read: async ({ url }: { url: URL }) => server.objects.get(url.pathname),
    kept: () => server.objects.size,
    breakNextPart: (fault: Parameters<typeof faults.inject>[0]) =>
      faults.inject(fault, ({ method }) => method === 'PUT'),
    async [Symbol.asyncDispose]() {
      workers.closeWorkers()
      await faults[Symbol.asyncDispose]()
      await server[Symbol.asyncDispose]()
    }
  }
}

describeDestination(
  'http',
  (limits) => start({ kind: 'header', name: 'X-Auth-Token', value: 'a-secret-token' }, limits),
  { resumes: false }
)

const pem = (name: string) => readFileSync(join(import.meta.dirname, 'tls', name), 'utf8')
const CA = pem('ca.pem')
const CERTIFICATE = pem('server.pem')
const KEY = pem('server-key.pem')

const never = new AbortController().signal
async function* bytes(text: string) {
  yield Buffer.from(text)
}

describe('http credentials', () => {
  it.each<[Credentials | undefined, string, string | undefined]>([
    [undefined, 'authorization', undefined],
    [
      { kind: 'basic', username: 'Aladdin', password: 'open:sésame' },
      'authorization',
      'Basic QWxhZGRpbjpvcGVuOnPDqXNhbWU='
    ],
    [{ kind: 'bearer', token: 'abc.def' }, 'authorization', 'Bearer abc.def'],
    [{ kind: 'header', name: 'X-JFrog-Art-Api', value: 'key' }, 'x-jfrog-art-api', 'key']
  ])('%o are sent as %s', async (credentials, name, value) => {
    await using harness = await start(credentials)
    const upload = await harness.destination.open(harness.target(2), never)

    await upload.putPart({ number: 1, offset: 0, length: 2 }, bytes('hi'), never)

    const request = harness.server.seen.find(({ method }) => method === 'PUT')
    expect(request?.headers[name]).toBe(value)
    expect(request?.headers).toMatchObject({ 'content-length': '2', 'content-type': 'application/x-test' })
    expect(request?.headers['transfer-encoding']).toBeUndefined()
  })

  it.each<[Credentials, string]>([
    [{ kind: 's3_static' }, 'kind'],
    [{ kind: 'none', tls: { ca_pem: CA } }, 'tls'],
    [{ kind: 'mtls', cert_pem: CERTIFICATE, key_pem: KEY }, 'kind'],
    [{ kind: 'mtls', cert_pem: CERTIFICATE, key_pem: 'no key' }, 'key_pem'],
    [{ kind: 'mtls', cert_pem: CA, key_pem: KEY }, 'key_pem'],
    [{ kind: 'mtls', key_pem: KEY }, 'cert_pem'],
    [{ kind: 'none', tls: { ca_pem: 'no certificate' } }, 'tls/ca_pem'],
    [{ kind: 'none', tls: { ca_pem: CA.replace(/MII/, 'AAA') } }, 'tls/ca_pem'],
    [{ kind: 'none', tls: { server_name: '127.0.0.1' } }, 'tls/server_name'],
    [{ kind: 'none', tls: { server_name: 'a b' } }, 'tls/server_name'],
    [{ kind: 'presigned' }, 'query'],
    [{ kind: 'presigned', query: 'a b' }, 'query'],
    [{ kind: 'presigned', query: "sig='" }, 'query'],
    [{ kind: 'presigned', query: 'a=1', headers: { Host: 'other' } }, 'headers/Host'],
    [{ kind: 'presigned', query: 'a=1', headers: { 'X-A': 'a\r\nX-Evil: 1' } }, 'headers/X-A'],
    [{ kind: 'basic', username: 'a:b', password: 'c' }, 'username'],
    [{ kind: 'basic', username: 'a' }, 'password'],
    [{ kind: 'bearer', token: 'a\r\nX-Evil: 1' }, 'token'],
    [{ kind: 'header', name: 'X-A', value: 'a\nb' }, 'value'],
    [{ kind: 'header', name: 'X A', value: 'a' }, 'name'],
    [{ kind: 'header', name: 'X-A:', value: 'a' }, 'name'],
    ...[
      'Host',
      'content-length',
      'Content-Type',
      'Transfer-Encoding',
      'CONNECTION',
      'Expect',
      'Upgrade',
      'TE',
      'Proxy-Authorization'
    ].map((name): [Credentials, string] => [{ kind: 'header', name, value: 'a' }, 'name'])
  ])('%o are refused', async (credentials, field) => {
    await using harness = await start()

    expect(() => harness.destination.check(harness.target(1).url, credentials)).toThrow(
      expect.objectContaining({ code: 'DEST_CREDENTIALS_INVALID', pointer: `/export_to_credentials/${field}` })
    )
  })

  it.each(['http://storage.example.org/x', 'http://1.1.1.1/x'])('are not sent to %s', async (url) => {
    const destinations = createDestinations({ hashers, allowedNetworks: [], allowedEndpoints: [] })
    const check = (credentials?: Credentials) => () => destinations.forScheme('http').check(new URL(url), credentials)

    expect(check()).not.toThrow()
    expect(check({ kind: 'none' })).not.toThrow()
    for (const credentials of [
      { kind: 'bearer', token: 'a' },
      { kind: 'presigned', query: 'sig=a' }
    ]) {
      expect(check(credentials)).toThrow(expect.objectContaining({ code: 'DEST_ADDRESS_FORBIDDEN' }))
    }
    destinations.close()
  })
})

type Harness = Awaited<ReturnType<typeof start>>

async function listening(server: Server) {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    }
  }
}

/** Opens an upload of two bytes and sends them. */
async function sendHi({ destination, target: targetOf }: Harness) {
  const target = targetOf(2)
  const upload = await destination.open(target, never)
  const send = () => upload.putPart({ number: 1, offset: 0, length: 2 }, bytes('hi'), never)
  return { target, upload, send }
}
/** Its name has no export's id in it: anybody may have chosen it. */
const byAnybody = (target: UploadTarget): UploadTarget => ({
  ...target,
  url: new URL('disk.raw', target.url)
})
const requests = ({ server }: Harness) => server.seen.map(({ method }) => method)
const isPut = ({ method }: { method: string }) => method === 'PUT'
const isHead = ({ method }: { method: string }) => method === 'HEAD'

describe('a POST', () => {
  it('sends the file, and looks at nothing, as the server may keep it elsewhere', async () => {
    await using harness = await start({ kind: 'none', method: 'POST' })
    const { target, upload, send } = await sendHi(harness)
    await send()

    expect(await upload.commit(never)).toEqual({ location: target.url.href })

    expect(requests(harness)).toEqual(['POST'])
    expect(await harness.destination.find(target, never)).toEqual({ status: 'unreadable' })
  })
})

describe('a pre-signed URL', () => {
  const presigned = {
    kind: 'presigned',
    query: 'X-Sig=a%2Fb&n=1',
    headers: { 'X-Ms-Blob-Type': 'BlockBlob', 'Content-Type': 'a/b' }
  }

  it('is sent as it was signed, once, and never shown', async () => {
    await using harness = await start(presigned)
    const { target, upload, send } = await sendHi(harness)
    await send()

    const { location } = await upload.commit(never)

    expect(location).toBe(target.url.href)
    expect(harness.server.seen).toEqual([
      {
        method: 'PUT',
        path: `${target.url.pathname}?X-Sig=a%2Fb&n=1`,
        headers: expect.objectContaining({ 'x-ms-blob-type': 'BlockBlob', 'content-type': 'a/b', 'if-none-match': '*' })
      }
    ])
    expect(harness.destination.namesObject(presigned)).toBe(true)
    expect(harness.destination.namesObject({ kind: 'none' })).toBe(false)
  })

  it('is for nothing else: there is no look, no removal and no probe', async () => {
    await using harness = await start(presigned)
    const { target, upload, send } = await sendHi(harness)
    await send()

    expect(await upload.abort()).toEqual([])
    expect(await harness.destination.discard(target, upload.state ?? {}, never)).toEqual([])
    expect(await harness.destination.find(target, never)).toEqual({ status: 'unreadable' })
    const [check] = harness.destination.checks(target)
    expect(await check?.run(never)).toEqual({ skipped: expect.any(String) })
    const read = async () => {
      for await (const _ of harness.destination.read(target, { from: 0, to: 2 }, never)) break
    }
    await expect(read()).rejects.toMatchObject({ code: 'DEST_FORBIDDEN', permanent: true })

    expect(requests(harness)).toEqual(['PUT'])
  })

  it('is in no message', async () => {
    await using harness = await start(presigned)
    const { send } = await sendHi(harness)
    harness.breakNextPart({ kind: 'answer', status: 403, body: 'X-Sig=a%2Fb' })

    await expect(send()).rejects.toMatchObject({ message: expect.not.stringMatching(/Sig|folder|\?/) })
  })
})

describe('an object that stands there', () => {
  it('is not written over, nor removed', async () => {
    await using harness = await start()
    const target = harness.target(2)
    harness.server.objects.set(target.url.pathname, Buffer.from('older'))

    await expect(harness.destination.open(target, never)).rejects.toMatchObject({
      code: 'DEST_OBJECT_EXISTS',
      permanent: true
    })

    expect(harness.server.objects.get(target.url.pathname)?.toString()).toBe('older')
  })

  it('stays when it has appeared meanwhile and the server notices', async () => {
    await using harness = await start()
    const { target, upload, send } = await sendHi(harness)
    harness.server.objects.set(target.url.pathname, Buffer.from('other'))

    await expect(send()).rejects.toMatchObject({ code: 'DEST_OBJECT_EXISTS', permanent: true })
    expect(await upload.abort()).toEqual([])

    expect(harness.server.objects.get(target.url.pathname)?.toString()).toBe('other')
  })

  it.each([
    ['refuses', false, { kind: 'answer', status: 403 }, 'present'],
    ['refuses what should replace it', true, { kind: 'answer', status: 409 }, 'present'],
    ['cannot be looked at', false, { kind: 'answer', status: 507 }, 'hidden']
  ] as const)('stays when it has appeared meanwhile and the server %s', async (_, replace, fault, look) => {
    await using harness = await start(undefined, PATIENT, replace)
    if (look === 'hidden') harness.faults.inject({ kind: 'answer', status: 405 }, isHead, 30)
    const target = byAnybody(harness.target(2))
    const upload = await harness.destination.open(target, never)
    harness.server.objects.set(target.url.pathname, Buffer.from('other'))
    harness.breakNextPart(fault)

    await expect(upload.putPart({ number: 1, offset: 0, length: 2 }, bytes('hi'), never)).rejects.toThrow()
    expect(await upload.abort()).toEqual([])

    expect(harness.server.objects.get(target.url.pathname)?.toString()).toBe('other')
  })

  it('goes after a refusal where only this export can know the name', async () => {
    await using harness = await start()
    const { target, upload, send } = await sendHi(harness)
    harness.breakNextPart({ kind: 'answer', status: 403 })
    await expect(send()).rejects.toThrow()
    harness.server.objects.set(target.url.pathname, Buffer.from('h'))

    expect(await upload.abort()).toEqual(['object'])
  })

  it('is replaced on request', async () => {
    await using harness = await start(undefined, PATIENT, true)
    const target = harness.target(2)
    harness.server.objects.set(target.url.pathname, Buffer.from('older'))
    const upload = await harness.destination.open(target, never)

    await upload.putPart({ number: 1, offset: 0, length: 2 }, bytes('hi'), never)
    await upload.commit(never)

    expect(harness.server.objects.get(target.url.pathname)?.toString()).toBe('hi')
    expect(harness.server.seen.find(isPut)?.headers['if-none-match']).toBeUndefined()
  })

  it.each([
    ['stays when what should replace it never came through', undefined, ['older'], []],
    ['goes when a part of the new one has taken its place', Buffer.from('h'), [], ['object']]
  ])('%s', async (_, partial, stay, removed) => {
    await using harness = await start(undefined, PATIENT, true)
    const target = harness.target(2)
    const path = target.url.pathname
    harness.server.objects.set(path, Buffer.from('older'))
    const upload = await harness.destination.open(target, never)
    harness.breakNextPart({ kind: 'reset', afterBytes: 1 })
    await expect(upload.putPart({ number: 1, offset: 0, length: 2 }, bytes('hi'), never)).rejects.toThrow('broke')
    if (partial) harness.server.objects.set(path, partial)

    expect(await harness.destination.discard(target, upload.state ?? {}, never)).toEqual(removed)
    expect(await upload.abort()).toEqual([])

    expect([...harness.server.objects.values()].map(String)).toEqual(stay)
  })
})

describe('after the upload', () => {
  it('a server that has kept fewer bytes is found out, and they are removed', async () => {
    await using harness = await start()
    const { target, upload, send } = await sendHi(harness)
    await send()
    harness.server.objects.set(target.url.pathname, Buffer.from('h'))

    await expect(upload.commit(never)).rejects.toMatchObject({ code: 'DEST_INTEGRITY_MISMATCH', permanent: false })
    expect(await upload.abort()).toEqual(['object'])

    expect(harness.server.objects.size).toBe(0)
  })

  it.each<[string, Fault]>([
    ['lets nobody look', { kind: 'answer', status: 403 }],
    ['has no HEAD', { kind: 'answer', status: 405 }],
    ['hides what was written', { kind: 'answer', status: 404 }],
    ['answers the same to everything', { kind: 'answer', status: 200, headers: { 'content-length': '0' } }],
    ['takes HEAD for a write', { kind: 'answer', status: 201 }],
    ['says it later', { kind: 'answer', status: 503 }],
    ['breaks off', { kind: 'lose answer' }]
  ])('a server that %s is believed', async (_, fault) => {
    await using harness = await start()
    harness.faults.inject(fault.kind === 'answer' ? fault : { kind: 'answer', status: 405 }, isHead)
    const { target, upload, send } = await sendHi(harness)
    await send()
    harness.faults.inject(fault, isHead)

    expect(await upload.commit(never)).toEqual({ location: target.url.href })
    expect(await upload.abort()).toEqual([])

    expect(harness.server.objects.get(target.url.pathname)?.toString()).toBe('hi')
  })

  it('a signal that has fired is heard', async () => {
    await using harness = await start()
    const { upload, send } = await sendHi(harness)
    await send()

    await expect(upload.commit(AbortSignal.abort(new Error('lease lost')))).rejects.toThrow('lease lost')
  })

  it('the ETag of the server is handed on', async () => {
    await using harness = await start()
    const { upload, send } = await sendHi(harness)
    harness.faults.inject({ kind: 'change headers', headers: { etag: '"abc"' } }, isPut)
    await send()

    expect(await upload.commit(never)).toMatchObject({ etag: '"abc"' })
  })

  it('one whose answer was lost may be sent again', async () => {
    await using harness = await start()
    const { target, upload, send } = await sendHi(harness)
    harness.faults.inject({ kind: 'lose answer' }, isPut)
    await expect(send()).rejects.toMatchObject({ code: 'DEST_UNREACHABLE', permanent: false })

    await send()
    await upload.commit(never)

    expect(harness.server.objects.get(target.url.pathname)?.toString()).toBe('hi')
  })

  it('the pause that the server asks for is handed on', async () => {
    await using harness = await start()
    const { send } = await sendHi(harness)
    harness.breakNextPart({ kind: 'answer', status: 429, headers: { 'retry-after': '17' } })

    await expect(send()).rejects.toMatchObject({ code: 'DEST_THROTTLED', permanent: false, retryAfterMs: 17_000 })
  })

  it.each([100 * 1024, 1024 * 1024])('an answer after %d bytes wins over the reset behind it', async (afterBytes) => {
    await using harness = await start()
    const length = 16 * 1024 * 1024
    const upload = await harness.destination.open(harness.target(length), never)
    harness.breakNextPart({ kind: 'answer', status: 403, afterBytes })
    async function* endless() {
      for (;;) yield Buffer.alloc(128 * 1024)
    }

    const sent = upload.putPart({ number: 1, offset: 0, length }, endless(), never)

    await expect(sent).rejects.toMatchObject({ code: 'DEST_FORBIDDEN', permanent: true })
  })
})

describe('the write probe', () => {
  const probe = async (harness: Harness) => {
    const [check, ...others] = harness.destination.checks(harness.target(2))
    expect([check?.id, others]).toEqual(['dest.write_probe', []])
    return check?.run(never)
  }
  const SKIPPED = { skipped: expect.any(String) }
  const isDelete = ({ method }: { method: string }) => method === 'DELETE'
  const isOptions = ({ method }: { method: string }) => method === 'OPTIONS'

  it('writes beside the target and removes what it wrote', async () => {
    await using harness = await start()

    expect(await probe(harness)).toEqual({ bytes: expect.any(Number) })

    expect(requests(harness)).toEqual(['DELETE', 'OPTIONS', 'PUT', 'DELETE'])
    expect(new Set(harness.server.seen.map(({ path }) => path)).size).toBe(1)
    expect(harness.server.seen[0]?.path).toMatch(/^\/folder\/[0-9a-f-]{36}\.probe-[0-9a-f]{12}$/)
    expect(harness.server.objects.size).toBe(0)
  })

  it('goes also where its answer is lost', async () => {
    await using harness = await start()
    let written = false
    harness.faults.inject(
      { kind: 'lose answer' },
      ({ method }) => {
        if (method === 'PUT') written = true
        return method === 'PUT'
      },
      9
    )

    await expect(probe(harness)).rejects.toMatchObject({ permanent: false })

    expect(written).toBe(true)
    expect(harness.server.objects.size).toBe(0)
  })

  it('that a dead worker has left goes with what else it has left', async () => {
    await using harness = await start()
    const target = harness.target(2)
    await harness.destination.checks(target)[0]?.run(never)
    const left = String(harness.server.seen[0]?.path)
    harness.server.objects.set(left, Buffer.from('probe'))

    expect(await harness.destination.discard(target, null, never)).toEqual([])

    expect(harness.server.objects.has(left)).toBe(false)
  })

  it.each<[string, Fault, Fault]>([
    ['has no DELETE', { kind: 'answer', status: 405 }, { kind: 'answer', status: 405 }],
    ['answers 404 to what it does not know', { kind: 'answer', status: 404 }, { kind: 'answer', status: 404 }],
    [
      'does not name DELETE',
      { kind: 'answer', status: 404 },
      { kind: 'answer', status: 200, headers: { allow: 'PUT, HEAD' } }
    ],
    ['keeps DELETE for others', { kind: 'answer', status: 403 }, { kind: 'answer', status: 405 }]
  ])('writes nothing to a server that %s', async (_, onDelete, onOptions) => {
    await using harness = await start()
    harness.faults.inject(onDelete, isDelete)
    harness.faults.inject(onOptions, isOptions)

    expect(await probe(harness)).toEqual(SKIPPED)

    expect(harness.server.objects.size).toBe(0)
  })

  it('writes to WebDAV, which does not name DELETE for what is not there', async () => {
    await using harness = await start()
    harness.faults.inject({ kind: 'answer', status: 200, headers: { dav: '1, 2', allow: 'OPTIONS, PUT' } }, isOptions)

    expect(await probe(harness)).toEqual({ bytes: expect.any(Number) })
  })

  it.each([
    [302, 'DEST_REJECTED', true],
    [400, 'DEST_REJECTED', true],
    [409, 'DEST_REJECTED', true],
    [429, 'DEST_THROTTLED', false],
    [500, 'DEST_REJECTED', false],
    [503, 'DEST_THROTTLED', false],
    [507, 'DEST_QUOTA_EXCEEDED', true]
  ])('is not passed by a place that answers %d to everything', async (status, code, permanent) => {
    await using harness = await start()
    harness.faults.inject({ kind: 'answer', status }, () => true, 9)

    await expect(probe(harness)).rejects.toMatchObject({ code, permanent })
  })

  it.each([
    ['before it asks for the body', true, 404, 'DEST_CONTAINER_NOT_FOUND'],
    ['after it has asked for the body', false, 404, 'DEST_CONTAINER_NOT_FOUND'],
    ['in its own way', false, 410, 'DEST_CONTAINER_NOT_FOUND']
  ])('is not passed by a place that answers 404 to everything, %s', async (_, atOnce, status, code) => {
    const server = createServer((_request, response) => {
      setTimeout(() => response.writeHead(status).end(), 100) // on its own, not with the invitation
    })
    if (atOnce) server.on('checkContinue', (_request, response) => void response.writeHead(status).end())
    await using place = await listening(server)
    await using harness = await start()
    const url = new URL(`http://127.0.0.1:${place.port}/nothing/here`)
    const [check] = harness.destination.checks({ ...harness.target(2), url })

    await expect(check?.run(never)).rejects.toMatchObject({ code, permanent: true, actor: 'user' })
  })

  it.each([true, false])(
    'is left out at a place that says 404 to all but a PUT (asks for the body: %s)',
    async (asks) => {
      const seen: string[] = []
      const server = createServer((request, response) => {
        seen.push(String(request.method))
        request.resume().on('end', () => response.writeHead(request.method === 'PUT' ? 201 : 404).end())
      })
      if (!asks) server.on('checkContinue', (request, response) => server.emit('request', request, response))
      await using place = await listening(server)
      await using harness = await start()
      const url = new URL(`http://127.0.0.1:${place.port}/drop/here`)
      const [check] = harness.destination.checks({ ...harness.target(2), url })

      expect(await check?.run(never)).toEqual(SKIPPED)
      expect(seen).toEqual(['DELETE', 'OPTIONS', 'PUT'])
    }
  )

  it('is not passed by a place that names its methods, and the one that sends is not among them', async () => {
    await using harness = await start()
    harness.faults.inject({ kind: 'answer', status: 405, headers: { allow: 'GET, HEAD' } }, () => true, 9)

    await expect(probe(harness)).rejects.toMatchObject({ code: 'DEST_REJECTED', permanent: true })
  })

  it('says that the server wants a client certificate, as nginx words it', async () => {
    await using harness = await start()
    const body = '<center>No required SSL certificate was sent</center>'
    harness.faults.inject({ kind: 'answer', status: 400, body }, () => true, 9)

    const wanted = { code: 'DEST_AUTH_FAILED', actor: 'user', message: expect.stringContaining('kind mtls') }
    await expect(probe(harness)).rejects.toMatchObject(wanted)
  })

  it('says that a name is too long, for which servers have no word', async () => {
    await using harness = await start()
    harness.faults.inject({ kind: 'answer', status: 500 }, isPut)
    const url = new URL(`http://127.0.0.1:${harness.faults.port}/folder/${'%C3%A4'.repeat(128)}`)
    const [check] = harness.destination.checks({ ...harness.target(2), url })

    const wanted = { code: 'DEST_LIMIT_EXCEEDED', permanent: true, actor: 'user' }
    await expect(check?.run(never)).rejects.toMatchObject(wanted)
  })

  it('is left out beside a name that fits while none fits beside it', async () => {
    await using harness = await start()
    const url = new URL(`http://127.0.0.1:${harness.faults.port}/folder/${'a'.repeat(250)}`)
    const [check] = harness.destination.checks({ ...harness.target(2), url })

    expect(await check?.run(never)).toEqual(SKIPPED)
    expect(requests(harness)).toEqual([])
  })

  it('is left out where DELETE alone is refused in a way of its own', async () => {
    await using harness = await start()
    harness.faults.inject({ kind: 'answer', status: 400 }, isDelete)

    expect(await probe(harness)).toEqual(SKIPPED)
  })

  it.each([
    [401, 'DEST_AUTH_FAILED'],
    [403, 'DEST_FORBIDDEN']
  ])('says what %d to everything means', async (status, code) => {
    await using harness = await start()
    harness.faults.inject({ kind: 'answer', status }, () => true, 9)

    await expect(probe(harness)).rejects.toMatchObject({ code, permanent: true })
  })

  it.each([
    [403, 'DEST_FORBIDDEN'],
    [404, 'DEST_CONTAINER_NOT_FOUND'],
    [507, 'DEST_QUOTA_EXCEEDED']
  ])('says what %d to the PUT means', async (status, code) => {
    await using harness = await start()
    harness.faults.inject({ kind: 'answer', status }, isPut)

    await expect(probe(harness)).rejects.toMatchObject({ code })
  })

  it('says when it could not remove what it wrote', async () => {
    await using harness = await start()
    harness.faults.inject({ kind: 'answer', status: 404 }, isDelete)
    harness.faults.inject({ kind: 'answer', status: 403 }, isDelete)

    expect(await probe(harness)).toMatchObject({ left: expect.any(String) })
  })
})

describe('removal', () => {
  it('says so where it may not remove what it wrote', async () => {
    await using harness = await start()
    const upload = await harness.destination.open(harness.target(2), never)
    await upload.putPart({ number: 1, offset: 0, length: 2 }, bytes('hi'), never)
    harness.faults.inject({ kind: 'answer', status: 405 }, ({ method }) => method === 'DELETE', 20)

    await expect(upload.abort()).rejects.toMatchObject({ message: expect.stringContaining('remove it there') })
  })

  it('is repeated where the server makes anew what it has removed, while it is busy with what broke off', async () => {
    await using harness = await start()
    const { upload, send } = await sendHi(harness)
    await send()
    const { objects } = harness.server
    const remove = objects.delete.bind(objects)
    objects.delete = () => {
      objects.delete = remove
      return true
    }

    expect(await upload.abort()).toEqual(['object'])

    expect(objects.size).toBe(0)
    expect(requests(harness).filter((method) => method === 'DELETE')).toHaveLength(2)
  })

  it('looks again for what broke off: the server may make it only when it has noticed', async () => {
    await using harness = await start()
    const upload = await harness.destination.open(harness.target(4), never)
    harness.breakNextPart({ kind: 'reset', afterBytes: 2 })
    await expect(upload.putPart({ number: 1, offset: 0, length: 4 }, bytes('hiho'), never)).rejects.toThrow()
    const { objects } = harness.server
    const get = objects.get.bind(objects)
    let looks = 0
    objects.get = (path) => {
      looks += 1
      if (looks === 3) objects.set(path, Buffer.from('hi'))
      return get(path)
    }

    expect(await upload.abort()).toEqual(['object'])

    expect(objects.size).toBe(0)
  })

  it('waits for a lock that the server itself had for what broke off', async () => {
    await using harness = await start()
    const { upload, send } = await sendHi(harness)
    await send()
    harness.faults.inject({ kind: 'answer', status: 423 }, ({ method }) => method === 'DELETE', 2)

    expect(await upload.abort()).toEqual(['object'])

    expect(harness.server.objects.size).toBe(0)
  })

  it('says when it could not remove what it wrote', async () => {
    await using harness = await start()
    const upload = await harness.destination.open(harness.target(2), never)
    await upload.putPart({ number: 1, offset: 0, length: 2 }, bytes('hi'), never)
    harness.faults.inject({ kind: 'answer', status: 500 }, ({ method }) => method === 'DELETE')

    await expect(upload.abort()).rejects.toMatchObject({ code: 'DEST_REJECTED', permanent: false })
  })

  it('does not go where a redirect points', async () => {
    await using harness = await start()
    await using other = await putServer()
    const upload = await harness.destination.open(harness.target(2), never)
    harness.breakNextPart({ kind: 'answer', status: 308, headers: { location: `http://127.0.0.1:${other.port}/x` } })

    await expect(upload.putPart({ number: 1, offset: 0, length: 2 }, bytes('hi'), never)).rejects.toMatchObject({
      code: 'DEST_REJECTED',
      permanent: true
    })
    expect(other.seen).toEqual([])
  })
})
