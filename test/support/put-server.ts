import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import { createServer as createTlsServer, type ServerOptions } from 'node:https'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'

/** A web server in memory that takes PUT, GET, HEAD and DELETE, and `If-None-Match: *`. With `tls` it speaks https. */
export async function putServer(tls?: ServerOptions) {
  const objects = new Map<string, Buffer>()
  const seen: { readonly method: string; readonly path: string; readonly headers: IncomingHttpHeaders }[] = []

  const server = (tls ? createTlsServer(tls) : createServer()).on('request', async (request, response) => {
    const { method = '', url: path = '', headers } = request
    seen.push({ method, path, headers })
    const body = await buffer(request).catch(() => undefined)
    if (body === undefined) return
    const stored = objects.get(path)
    if (method === 'PUT' && stored && headers['if-none-match'] === '*') {
      response.writeHead(412).end()
    } else if (method === 'PUT' || method === 'POST') {
      objects.set(path, body)
      response.writeHead(stored ? 204 : 201).end()
    } else if (!['GET', 'HEAD', 'DELETE'].includes(method)) {
      response.writeHead(405).end()
    } else if (stored === undefined) {
      response.writeHead(404).end()
    } else if (method === 'DELETE') {
      objects.delete(path)
      response.writeHead(204).end()
    } else {
      response.writeHead(200, { 'content-length': stored.length }).end(method === 'HEAD' ? undefined : stored)
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo

  return {
    port,
    objects,
    seen,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    }
  }
}
