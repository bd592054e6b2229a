import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { afterAll, describe, expect, it } from 'vitest'
import { createAddressPolicy } from '../../../src/destinations/address.ts'
import { createConnections } from '../../../src/destinations/connection.ts'
import { get, readObject } from '../../../src/destinations/get.ts'
import { type ByteSource, MiB } from '../../../src/domain/bytes.ts'

const policy = createAddressPolicy({ allowedNetworks: ['127.0.0.0/8'], allowedEndpoints: [] })
const patient = createConnections({ policy, limits: { connectMs: 20_000, idleMs: 20_000, answerMs: 20_000 } })
const impatient = createConnections({ policy, limits: { connectMs: 20_000, idleMs: 150, answerMs: 20_000 } })
afterAll(() => {
  patient.close()
  impatient.close()
})

const OBJECT = Buffer.from(Array.from({ length: 1000 }, (_, index) => index % 251))

async function serve(answer: (request: IncomingMessage, response: ServerResponse) => void) {
  const sockets: Socket[] = []
  const seen: IncomingMessage[] = []
  const server = createServer((request, response) => {
    seen.push(request)
    answer(request, response)
  })
  server.on('connection', (socket) => sockets.push(socket.on('error', () => {})))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: new URL(`http://127.0.0.1:${port}/object`),
    sockets,
    seen,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    }
  }
}

const request = (url: URL, connections = patient, signal = new AbortController().signal) => ({
  url,
  headers: { 'x-own': 'yes' },
  connections,
  credentials: false,
  signal
})

async function bytesOf(body: ByteSource): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of body) chunks.push(Buffer.from(chunk))
  return Buffer.concat(chunks)
}

const range = (from: number, to: number) => (_request: IncomingMessage, response: ServerResponse) =>
  response
    .writeHead(206, { 'content-range': `bytes ${from}-${to - 1}/1000`, 'content-length': to - from })
    .end(OBJECT.subarray(from, to))

describe('get', () => {
  it('returns with the head and streams the body', async () => {
    await using server = await serve((_request, response) => {
      response.writeHead(200, { 'content-length': 1000, 'x-theirs': 'too' }).write(OBJECT.subarray(0, 1))
      setTimeout(() => response.end(OBJECT.subarray(1)), 20)
    })

    using answer = await get({ ...request(server.url), range: { from: 5, to: 10 } })

    expect(answer).toMatchObject({ status: 200, headers: { 'x-theirs': 'too' } })
    expect(await bytesOf(answer.body)).toEqual(OBJECT)
    expect(server.seen[0]?.headers).toMatchObject({
      'x-own': 'yes',
      range: 'bytes=5-9',
      'accept-encoding': 'identity'
    })
  })

  it('keeps the connection of a body that was read, and ends that of one that was not', async () => {
    await using server = await serve((_request, response) => response.end(OBJECT))
    const readAndGet = async () => {
      using answer = await get(request(server.url))
      await bytesOf(answer.body)
    }
    await readAndGet()
    await readAndGet()
    expect(server.sockets).toHaveLength(1)

    await using endless = await serve((_request, response) => {
      const more = () => {
        while (response.write(Buffer.alloc(MiB)));
      }
      response.on('drain', more)
      more()
    })
    {
      using _unread = await get(request(endless.url))
    }
    for await (const _chunk of (await get(request(endless.url))).body) break

    await expect.poll(() => endless.sockets.map(({ destroyed }) => destroyed)).toEqual([true, true])
  })

  it.each([301, 302, 307, 308])('does not follow %d', async (status) => {
    await using other = await serve((_request, response) => response.end('secret'))
    await using server = await serve((_request, response) =>
      response.writeHead(status, { location: other.url.href }).end()
    )

    using answer = await get(request(server.url))

    expect(answer.status).toBe(status)
    expect(other.seen).toEqual([])
  })

  it('says when the body falls silent', async () => {
    await using server = await serve((_request, response) => {
      response.writeHead(200, { 'content-length': 1000 }).write(OBJECT.subarray(0, 10))
    })

    const { body } = await get(request(server.url, impatient))

    await expect(bytesOf(body)).rejects.toMatchObject({
      code: 'DEST_UNREACHABLE',
      permanent: false,
      message: expect.stringContaining('stopped sending bytes')
    })
  })

  it('lets the reader take its time', async () => {
    await using server = await serve((_request, response) => response.end(Buffer.alloc(8 * MiB)))
    const { body } = await get(request(server.url, impatient))
    let bytes = 0

    for await (const chunk of body) {
      if (bytes === 0) await new Promise((resolve) => setTimeout(resolve, 400))
      bytes += chunk.length
    }

    expect(bytes).toBe(8 * MiB)
  })

  it('says when the body is cut short', async () => {
    await using server = await serve((_request, response) => {
      response.writeHead(200, { 'content-length': 1000 }).write(OBJECT.subarray(0, 10), () => response.destroy())
    })

    const { body } = await get(request(server.url))

    await expect(bytesOf(body)).rejects.toMatchObject({ code: 'DEST_UNREACHABLE', permanent: false })
  })

  it('stops with the signal, before and in the body', async () => {
    const stop = new AbortController()
    await using server = await serve((_request, response) => {
      response.writeHead(200, { 'content-length': 1000 }).write(OBJECT.subarray(0, 10))
    })
    const { body } = await get(request(server.url, patient, stop.signal))
    const read = bytesOf(body)
    setTimeout(() => stop.abort(new Error('lease lost')), 20)

    await expect(read).rejects.toThrow('lease lost')
    await expect(get(request(server.url, patient, stop.signal))).rejects.toThrow('lease lost')
    expect(server.seen).toHaveLength(1)
  })

  it('frees the connection of a body that nobody reads when the signal fires', async () => {
    const stop = new AbortController()
    await using server = await serve((_request, response) => {
      response.writeHead(200, { 'content-length': 1000 }).write(OBJECT.subarray(0, 10))
    })
    await get(request(server.url, patient, stop.signal))

    stop.abort(new Error('lease lost'))

    await expect.poll(() => server.sockets.map(({ destroyed }) => destroyed)).toEqual([true])
  })
})

describe('readObject', () => {
  const everything = (_request: IncomingMessage, response: ServerResponse) => response.end(OBJECT)
  const read = (url: URL, from: number, to: number) => bytesOf(readObject(request(url), { from, to }))

  it.each([
    [0, 1000],
    [0, 1],
    [17, 400],
    [999, 1000]
  ])('gives [%d, %d), also of a server that ignores Range', async (from, to) => {
    await using exact = await serve(range(from, to))
    await using generous = await serve(everything)
    await using byteByByte = await serve(async (_request, response) => {
      for (const byte of OBJECT.subarray(0, 50)) {
        response.write(Buffer.of(byte))
        await new Promise(setImmediate)
      }
      response.end(OBJECT.subarray(50))
    })

    for (const { url } of [exact, generous, byteByByte]) {
      expect(await read(url, from, to)).toEqual(OBJECT.subarray(from, to))
    }
  })

  it('asks nobody for no bytes', async () => {
    await using server = await serve(everything)

    expect(await read(server.url, 5, 5)).toEqual(Buffer.of())
    expect(server.seen).toEqual([])
  })

  it.each<[string, (request: IncomingMessage, response: ServerResponse) => void, object]>([
    ['everything and that is too short', everything, { code: 'DEST_INTEGRITY_MISMATCH' }],
    ['a shorter range', range(900, 1000), { code: 'DEST_INTEGRITY_MISMATCH' }],
    ['another range', range(800, 1000), { code: 'DEST_REJECTED', permanent: false }],
    ['a range that it does not name', (_, response) => response.writeHead(206).end(), { code: 'DEST_REJECTED' }],
    ['416', (_, response) => response.writeHead(416).end(), { code: 'DEST_INTEGRITY_MISMATCH' }],
    ['404', (_, response) => response.writeHead(404).end(), { code: 'DEST_INTEGRITY_MISMATCH', upstreamStatus: 404 }],
    ['403', (_, response) => response.writeHead(403).end(), { code: 'DEST_FORBIDDEN', permanent: true }],
    ['302', (_, response) => response.writeHead(302, { location: '/' }).end(), { code: 'DEST_REJECTED' }],
    [
      '503',
      (_, response) => response.writeHead(503, { 'retry-after': '7' }).end(),
      { code: 'DEST_THROTTLED', retryAfterMs: 7000 }
    ]
  ])('fails when the server gives %s', async (_, answer, failure) => {
    await using server = await serve(answer)

    await expect(read(server.url, 900, 1100)).rejects.toMatchObject(failure)
  })
})
