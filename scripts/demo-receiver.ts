import { createWriteStream } from 'node:fs'
import { mkdir, rename, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { basename, join } from 'node:path'
import { pipeline } from 'node:stream/promises'

/** The user's place: a web server that takes files with PUT and keeps them in `folder`. */
export type Receiver = {
  /** What `export_to` names. */
  readonly url: string
  readonly credentials: { readonly kind: 'basic'; readonly username: string; readonly password: string }
  close(): Promise<void>
}

export async function startReceiver(folder: string): Promise<Receiver> {
  const credentials = { kind: 'basic', username: 'customer', password: crypto.randomUUID() } as const
  const expected = `Basic ${btoa(`${credentials.username}:${credentials.password}`)}`
  await mkdir(folder, { recursive: true })

  const server = createServer((request, response) => {
    if (request.headers.authorization !== expected) {
      response.writeHead(401, { 'www-authenticate': 'Basic', connection: 'close' }).end()
      return
    }
    handle(request, response, folder).catch(() => response.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}/backups`,
    credentials,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      })
  }
}

async function handle(request: IncomingMessage, response: ServerResponse, folder: string): Promise<void> {
  const file = join(folder, basename(request.url ?? 'unnamed'))
  if (request.method === 'DELETE') {
    await rm(file, { force: true })
    response.writeHead(204).end()
  } else if (request.method === 'PUT') {
    await pipeline(request, createWriteStream(`${file}.part`))
    await rename(`${file}.part`, file)
    response.writeHead(201).end()
  } else {
    response.writeHead(405, { allow: 'PUT, DELETE' }).end()
  }
}
