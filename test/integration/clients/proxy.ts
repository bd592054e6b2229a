import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { type Answer, exchange } from './exchange.ts'

type Seen = {
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly status: number
}
/** Makes another answer of an answer of the service. */
export type Alter = (answer: Answer, request: IncomingMessage) => Answer

/** Stands between a client and the service: keeps what it sees, and alters what it is told to. */
export async function proxy(upstream: string, alter: Alter = (answer) => answer) {
  const seen: Seen[] = []
  const server = createServer(async (request, response) => {
    const { method = '', url: path = '', headers } = request
    const body = await buffer(request)
    // Links of the service lead back here.
    const original = await exchange(upstream, method, path, { ...headers, connection: 'close' }, body)
    const { status, headers: answered, body: text } = alter(original, request)
    seen.push({ method, path, headers, status })
    const { 'content-length': _length, connection: _connection, ...kept } = answered
    response.writeHead(status, kept).end(text.replaceAll(upstream, url))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    url,
    seen,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    }
  }
}
