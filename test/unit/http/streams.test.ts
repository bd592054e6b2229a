import { once } from 'node:events'
import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { KiB, MiB } from '../../../src/domain/bytes.ts'
import { imageId } from '../../../src/domain/ids.ts'
import { UploadConflict } from '../../../src/domain/image-errors.ts'
import type { Library } from '../../../src/library/library.ts'
import { appOver, MemoryService, token } from './memory-service.ts'

const ID = imageId('deadbeef-dead-dead-dead-beefbeefbeef')
const PATH = `/v2/images/${ID}/file`
const headers = { ...token('demo'), 'content-type': 'application/octet-stream' }
const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  vi.useRealTimers()
  for (const close of closers.splice(0)) await close()
})

/** The app on a socket; `change` replaces use cases of images. */
async function listening(change: (service: MemoryService) => Partial<Library> = () => ({})) {
  const service = new MemoryService()
  service.addImage({ id: ID })
  const app = appOver(service, { images: { ...service.library, ...change(service) } })
  closers.push(() => app.close())
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  return { service, port, send: (method: string) => request({ host: '127.0.0.1', port, path: PATH, method, headers }) }
}

async function answerTo(sent: ClientRequest): Promise<{ status: number | undefined; body: string }> {
  const [answer] = (await once(sent, 'response')) as [IncomingMessage]
  const chunks: Buffer[] = []
  for await (const chunk of answer) chunks.push(chunk)
  return { status: answer.statusCode, body: Buffer.concat(chunks).toString() }
}

describe('PUT /v2/images/{id}/file', () => {
  test('hands the body on as it arrives, before it has ended', async () => {
    const first = Promise.withResolvers<number>()
    const { send } = await listening(() => ({
      uploadImage: async (_viewer, _id, source) => {
        for await (const chunk of source) first.resolve(chunk.length)
      }
    }))
    const upload = send('PUT')

    upload.write(Buffer.alloc(1000))
    expect(await first.promise).toBe(1000)
    upload.end()

    expect((await answerTo(upload)).status).toBe(204)
  })

  test('stores far more than the limit of other bodies', async () => {
    const { send, service } = await listening()
    const bytes = Buffer.alloc(3 * MiB, 7)
    const upload = send('PUT')
    upload.end(bytes)

    expect(await answerTo(upload)).toEqual({ status: 204, body: '' })
    expect(service.data.get(ID)?.equals(bytes)).toBe(true)
  })

  test('stops the use case when the client goes away', async () => {
    const ended = Promise.withResolvers<{ aborted: boolean; failed: boolean }>()
    const started = Promise.withResolvers<void>()
    const { send } = await listening(() => ({
      uploadImage: async (_viewer, _id, source, signal) => {
        let failed = false
        try {
          for await (const _chunk of source) started.resolve()
        } catch {
          failed = true
        }
        await vi.waitFor(() => expect(signal.aborted).toBe(true))
        ended.resolve({ aborted: signal.aborted, failed })
      }
    }))
    const upload = send('PUT')
    upload.on('error', () => {}) // we break it off ourselves
    upload.write(Buffer.alloc(1000))
    await started.promise

    upload.destroy()

    expect(await ended.promise).toEqual({ aborted: true, failed: true })
  })

  test.each(['before reading anything', 'in the middle'])(
    'can be refused %s, and the client gets to read why',
    async (when) => {
      const { send } = await listening(() => ({
        uploadImage: async (_viewer, id, source) => {
          if (when === 'in the middle') for await (const _chunk of source) break
          throw new UploadConflict(id)
        }
      }))
      const upload = send('PUT')
      upload.end(Buffer.alloc(5 * MiB))

      const { status, body } = await answerTo(upload)

      expect(status).toBe(409)
      expect(JSON.parse(body).error.failure_code).toBe('UPLOAD_CONFLICT')
    }
  )

  test('needs the media type', async () => {
    const app = appOver(new MemoryService())
    const put = (type: Record<string, string>) =>
      app.inject({ method: 'PUT', url: PATH, headers: { ...token('demo'), ...type }, payload: Buffer.from('x') })

    expect((await put({})).statusCode).toBe(415)
    expect((await put({ 'content-type': 'application/json' })).statusCode).toBe(415)
  })
})

describe('GET /v2/images/{id}/file', () => {
  test('disposes of the file when the client goes away in the middle', async () => {
    const disposed = Promise.withResolvers<void>()
    let given: AbortSignal | undefined
    const { send, service } = await listening(() => ({
      readImage: async (_viewer, _id, _range, signal) => {
        given = signal
        return { size: 1e12, checksum: null, bytes: endless(), [Symbol.asyncDispose]: async () => disposed.resolve() }
      }
    }))
    service.store(ID, Buffer.alloc(10))
    const download = send('GET').end()
    const [answer] = (await once(download, 'response')) as [IncomingMessage]
    await once(answer, 'data')

    download.destroy()
    answer.on('error', () => {})

    await disposed.promise
    expect(given?.aborted).toBe(true)
  })

  test('sends what was read to a slow client, although every read uses the same buffer', async () => {
    const chunks = 256
    const { send, service } = await listening(() => ({
      readImage: async () => {
        const size = chunks * 64 * KiB
        return { size, checksum: null, bytes: reusingOneBuffer(chunks), [Symbol.asyncDispose]: async () => {} }
      }
    }))
    service.store(ID, Buffer.alloc(10))
    const [answer] = (await once(send('GET').end(), 'response')) as [IncomingMessage]
    await new Promise((resolve) => setTimeout(resolve, 50)) // lets the server fill every buffer on the way

    let at = 0
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      for (const byte of chunk)
        if (byte !== Math.floor(at++ / (64 * KiB)) % 256) throw new Error(`wrong byte before ${at}`)
    }

    expect(at).toBe(chunks * 64 * KiB)
  })

  test('breaks the connection off when the source fails, so that a short body is not taken for a whole one', async () => {
    const { send, service } = await listening(() => ({
      readImage: async () => ({
        size: 100_000,
        checksum: null,
        bytes: failing(),
        [Symbol.asyncDispose]: async () => {}
      })
    }))
    service.store(ID, Buffer.alloc(10))

    await expect(answerTo(send('GET').end())).rejects.toThrow()
  })
})

describe('a JSON body', () => {
  test('that stops coming ends the connection', async () => {
    const { port } = await listening()
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const socket = connect(port, '127.0.0.1')
    const closed = once(socket, 'close')
    socket.write(`POST /v2/tasks HTTP/1.1\r\nHost: x\r\nX-Auth-Token: a:b:member\r\nContent-Length: 100\r\n\r\n{`)
    while (vi.getTimerCount() === 0) await new Promise(setImmediate)

    vi.advanceTimersByTime(30_000)

    expect(await closed).toBeDefined()
  })
})

describe('what is no HTTP', () => {
  test.each([
    ['GET / HTTP/1.1\r\nHost : x\r\n\r\n', 400],
    ['POST /v2/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello', 400],
    ['POST /v2/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 400],
    [`GET / HTTP/1.1\r\nHost: x\r\nX-Long: ${'a'.repeat(20_000)}\r\n\r\n`, 431]
  ])('%.40s is refused in our form', async (text, status) => {
    const { port } = await listening()
    const socket = connect(port, '127.0.0.1')
    socket.end(text)
    const chunks: Buffer[] = []
    for await (const chunk of socket) chunks.push(chunk)

    const [head = '', body = ''] = Buffer.concat(chunks).toString().split('\r\n\r\n')

    expect(head).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
    expect(JSON.parse(body)).toMatchObject({ error: { code: status, message: expect.any(String) } })
  })
})

async function* endless(): AsyncGenerator<Uint8Array> {
  for (;;) yield Buffer.alloc(64 * 1024)
}

async function* failing(): AsyncGenerator<Uint8Array> {
  yield Buffer.alloc(1000)
  throw new Error('the disk is gone')
}

async function* reusingOneBuffer(chunks: number): AsyncGenerator<Uint8Array> {
  const buffer = Buffer.alloc(64 * KiB)
  for (let number = 0; number < chunks; number++) yield buffer.fill(number % 256)
}
