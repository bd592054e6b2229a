import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { Worker } from 'node:worker_threads'
import { afterAll, describe, expect, it } from 'vitest'
import { createAddressPolicy } from '../../../src/destinations/address.ts'
import { createConnections } from '../../../src/destinations/connection.ts'
import { type Answer, put } from '../../../src/destinations/put.ts'
import { KiB } from '../../../src/domain/bytes.ts'

const policy = createAddressPolicy({ allowedNetworks: ['127.0.0.0/8'], allowedEndpoints: [] })
const limits = { connectMs: 20_000, idleMs: 20_000, answerMs: 20_000 }
const connections = createConnections({ policy, limits })
afterAll(() => connections.close())

const OK = 'HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n'
const CONTINUE = 'HTTP/1.1 100 Continue\r\n\r\n'
const refused = (status: number) => `HTTP/1.1 ${status} Refused\r\ncontent-length: 0\r\n\r\n`

/** A server that shows `on` what has arrived on each connection so far, and what of it is body. */
async function rawServer(on: (socket: Socket, head: string, body: Buffer) => void) {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    let all = Buffer.alloc(0)
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('data', (chunk) => {
      all = Buffer.concat([all, chunk])
      const end = all.indexOf('\r\n\r\n') + 4
      if (end >= 4) on(socket, all.toString('latin1', 0, end), all.subarray(end))
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    }
  }
}

function send(port: number, length: number, signal = new AbortController().signal, wish?: Record<string, string>) {
  const state = { asked: 0, answer: undefined as unknown as Promise<Answer> }
  async function* body() {
    for (let at = 0; at < length; at += 64 * KiB) {
      state.asked += 1
      yield Buffer.alloc(Math.min(64 * KiB, length - at), at % 251)
    }
  }
  const url = new URL(`http://127.0.0.1:${port}/x`)
  state.answer = put({
    method: 'PUT',
    url,
    headers: {},
    length,
    body: body(),
    wish,
    connections,
    credentials: false,
    signal
  })
  return state
}

describe('a large body', () => {
  it('is sent when the server has asked for it', async () => {
    const seen: { head: string; early: number }[] = []
    let received = 0
    await using server = await rawServer((socket, head, body) => {
      received = body.length
      if (body.length === 0) {
        seen.push({ head, early: body.length })
        setTimeout(() => socket.write(CONTINUE), 20)
      }
      if (body.length === 200 * KiB) socket.write(OK)
    })

    const answer = await send(server.port, 200 * KiB).answer

    expect(answer.status).toBe(201)
    expect(seen).toEqual([{ head: expect.stringMatching(/^expect: 100-continue\r$/im), early: 0 }])
    expect(received).toBe(200 * KiB)
  })

  it.each([401, 403, 413, 503])('is not even read when the server answers %d to the head', async (status) => {
    let body = 0
    await using server = await rawServer((socket, _head, { length }) => {
      body += length
      socket.write(refused(status))
    })
    const sent = send(server.port, 1000 * KiB)

    expect((await sent.answer).status).toBe(status)

    expect(sent.asked).toBe(0)
    expect(body).toBe(0)
  })

  it('may not be called stored before it was sent', async () => {
    await using server = await rawServer((socket) => socket.write(OK))

    await expect(send(server.port, 200 * KiB).answer).rejects.toMatchObject({ code: 'DEST_INTEGRITY_MISMATCH' })
  })

  it('may not be called stored while a part of its last chunk was not sent, and nothing follows it there', async () => {
    const heads: string[] = []
    await using server = await rawServer((socket, head, body) => {
      if (body.length === 0) heads.push(head.split('\r\n')[0] ?? '')
      if (/^PUT \/other/.test(head)) socket.write(OK)
      else if (body.length === 0) socket.write(CONTINUE)
      else {
        socket.pause()
        socket.write(OK)
      }
    })
    async function* one() {
      yield Buffer.alloc(64 * 1024 * KiB)
    }
    const asked = { method: 'PUT', headers: {}, connections, credentials: false } as const
    const signal = new AbortController().signal
    const url = (path: string) => new URL(`http://127.0.0.1:${server.port}/${path}`)

    const answer = put({ ...asked, url: url('x'), length: 64 * 1024 * KiB, body: one(), signal })

    await expect(answer).rejects.toMatchObject({ code: 'DEST_INTEGRITY_MISMATCH' })
    expect((await put({ ...asked, url: url('other'), length: 0, signal })).status).toBe(201)
    expect(heads).toEqual(['PUT /x HTTP/1.1', 'PUT /other HTTP/1.1'])
  })

  it('goes to a server that does not know how to ask', async () => {
    await using server = await rawServer((socket, _head, body) => {
      if (body.length === 200 * KiB) socket.write(OK)
    })

    expect((await send(server.port, 200 * KiB).answer).status).toBe(201)
  })

  it('goes without the question to a server that cannot be asked', async () => {
    const heads = new Set<string>()
    await using server = await rawServer((socket, head, body) => {
      heads.add(head)
      if (/^expect:/im.test(head)) socket.write(refused(417))
      else if (body.length === 200 * KiB) socket.write(OK)
    })
    const sent = send(server.port, 200 * KiB)

    expect((await sent.answer).status).toBe(201)

    expect(heads.size).toBe(2)
    expect(sent.asked).toBe(4)
  })

  it.each([10, 200 * KiB])('of %d bytes goes without a wish that the server cannot fulfil', async (length) => {
    const heads: string[] = []
    await using server = await rawServer((socket, head, body) => {
      if (body.length === 0) heads.push(head)
      if (/^if-none-match: \*\r$/im.test(head)) socket.write(refused(501))
      else if (body.length === 0) socket.write(CONTINUE)
      else if (body.length === length) socket.write(OK)
    })
    const sent = send(server.port, length, undefined, { 'if-none-match': '*' })

    expect((await sent.answer).status).toBe(201)

    expect(heads.map((head) => /if-none-match/i.test(head))).toEqual(length > 64 * KiB ? [true, false] : [true])
    expect(sent.asked).toBe(Math.ceil(length / (64 * KiB)))
  })

  it('is not asked for any more once the signal has fired', async () => {
    const stop = new AbortController()
    await using server = await rawServer(() => stop.abort(new Error('lease lost')))
    const sent = send(server.port, 200 * KiB, stop.signal)

    await expect(sent.answer).rejects.toThrow('lease lost')

    expect(sent.asked).toBe(0)
  })
})

it('a small body goes at once', async () => {
  let head = ''
  await using server = await rawServer((socket, seen, body) => {
    head = seen
    if (body.length === 64 * KiB) socket.write(OK)
  })

  expect((await send(server.port, 64 * KiB).answer).status).toBe(201)

  expect(head).not.toMatch(/expect/i)
})

describe('a server that answers in the middle and resets', () => {
  /** On a thread of its own: the answer and the reset have both arrived when this thread sends on. */
  const SERVER = `
    const { parentPort } = require('node:worker_threads')
    const server = require('node:net').createServer((socket) => {
      let bytes = 0
      socket.on('error', () => {})
      socket.on('data', (chunk) => {
        if (bytes === 0) socket.write(${JSON.stringify(CONTINUE)})
        bytes += chunk.length
        if (bytes < 300_000) return
        socket.removeAllListeners('data').pause()
        socket.write(${JSON.stringify(refused(403))}, () => socket.resetAndDestroy())
      })
    })
    server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port))
  `

  it('is understood, also when the next write meets the reset first', async () => {
    const worker = new Worker(SERVER, { eval: true })
    const [port] = await once(worker, 'message')
    const busy = new Int32Array(new SharedArrayBuffer(4))
    async function* body() {
      for (let count = 0; ; count += 1) {
        if (count > 2) Atomics.wait(busy, 0, 0, 30)
        yield Buffer.alloc(150 * KiB)
      }
    }
    const request = { headers: {}, length: 1e9, connections, credentials: false, signal: new AbortController().signal }

    for (let turn = 0; turn < 5; turn += 1) {
      const url = new URL(`http://127.0.0.1:${port}/x`)
      expect((await put({ ...request, method: 'PUT', url, body: body() })).status).toBe(403)
    }
    await worker.terminate()
  })
})
