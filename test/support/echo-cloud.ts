import { createHash, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'

export type Trouble = 401 | 403 | 500 | 'reset' | 'garbage'

type Stored = { readonly body: Buffer; readonly headers: Readonly<Record<string, string>> }
type Asked = {
  readonly method: string
  readonly url: URL
  readonly request: IncomingMessage
  readonly body: Buffer
  readonly response: ServerResponse
}

const DAY_MS = 86_400_000
const md5 = (bytes: Buffer) => createHash('md5').update(bytes).digest('hex')

/**
 * A cloud that knows no discretion: Keystone, TempAuth, STS, Swift, S3 and plain PUT on one port, good enough for one upload,
 * that repeats all it was told in the headers of every answer. From request number `from` on it makes trouble, and repeats it
 * in the reason and the body too. The tokens it gives out are made by `word`.
 */
export async function echoCloud(settings: {
  readonly word: () => string
  readonly from: number
  readonly trouble: Trouble
}) {
  const objects = new Map<string, Stored>()
  const parts = new Map<string, Buffer>()
  let asked = 0

  const server = createServer(async (request, response) => {
    asked += 1
    const number = asked
    const body = await buffer(request).catch(() => undefined)
    if (body === undefined) return
    const { method = '' } = request
    const url = new URL(request.url ?? '', `http://${request.headers.host}`)
    const said = echoOf(request, body)
    response.setHeader('x-echo', said)
    response.setHeader('x-trans-id', said)
    if (number >= settings.from) return makeTrouble(settings.trouble, request, response, said)
    answer({ method, url, request, body, response }, { ...settings, objects, parts })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    host: `127.0.0.1:${port}`,
    asked: () => asked,
    /** Counts from one again. */
    forget() {
      asked = 0
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    }
  }
}

/** URL, headers and the beginning of the body, in one line that a header may hold. */
function echoOf(request: IncomingMessage, body: Buffer): string {
  const basic = /^Basic (.+)$/.exec(request.headers.authorization ?? '')?.[1]
  const login = basic ? Buffer.from(basic, 'base64').toString() : ''
  const all = `${request.url} ${JSON.stringify(request.headers)} ${login} ${body.subarray(0, 2000).toString('latin1')}`
  return all.replace(/[^\x20-\x7e]/g, '.').slice(0, 4000)
}

function makeTrouble(trouble: Trouble, request: IncomingMessage, response: ServerResponse, said: string): void {
  if (trouble === 'reset') return void request.socket.resetAndDestroy()
  if (trouble === 'garbage') return void request.socket.end(`HTTP/1.1 200 OK\r\n${said}\r\n\r\n`)
  const headers = { 'www-authenticate': `Basic realm="${said.replaceAll('"', "'")}"`, location: `http://x/?${said}` }
  const xml = `<Error><Code>${said}</Code><Message>${said}</Message><RequestId>${said}</RequestId></Error>`
  const json = JSON.stringify({ error: { message: said, title: said, code: trouble } })
  const isXml = !said.includes('auth/tokens')
  response.writeHead(trouble, said.slice(0, 2000), headers).end(isXml ? xml : json)
}

type Cloud = {
  readonly word: () => string
  readonly objects: Map<string, Stored>
  readonly parts: Map<string, Buffer>
}

function answer(asked: Asked, cloud: Cloud): void {
  const { method, url, request, body, response } = asked
  const { origin, pathname, searchParams: query } = url
  const json = (status: number, content: object, headers = {}) =>
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(content))
  // What the store was asked to do with the object, it confirms.
  const confirmed = Object.fromEntries(
    Object.entries(request.headers).filter(([name]) => /^x-(amz-server-side|amz-meta|object-meta)/.test(name))
  ) as Record<string, string>
  delete confirmed['x-amz-server-side-encryption-customer-key']
  const xml = (content: string) =>
    response.writeHead(200, { ...confirmed, 'content-type': 'application/xml' }).end(`<?xml version="1.0"?>${content}`)
  const storage = `${origin}/v1/AUTH_test`
  const expires = new Date(Date.now() + DAY_MS).toISOString()

  if (pathname.endsWith('/auth/v1.0'))
    return void response.writeHead(200, { 'x-auth-token': cloud.word(), 'x-storage-url': storage }).end()
  if (pathname.endsWith('/auth/tokens')) {
    const token = { expires_at: expires, project: { id: 'test', name: 'test' } }
    return void json(method === 'POST' ? 201 : 200, { token }, { 'x-subject-token': cloud.word() })
  }
  if (pathname.endsWith('/auth/catalog')) {
    const endpoints = ['public', 'internal', 'admin'].map((face) => ({ interface: face, url: storage, region: 'one' }))
    return void json(200, { catalog: [{ type: 'object-store', endpoints }] })
  }
  if (pathname === '/info')
    return void json(200, {
      swift: { max_file_size: 5_368_709_122 },
      slo: {},
      tempurl: { allowed_digests: ['sha256'] }
    })
  if (body.includes('Action=AssumeRole')) {
    const [key, secret, token] = [cloud.word(), cloud.word(), cloud.word()]
    return void xml(
      `<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>${key}</AccessKeyId><SecretAccessKey>${secret}</SecretAccessKey><SessionToken>${token}</SessionToken><Expiration>${expires}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`
    )
  }
  if (method === 'POST' && query.has('uploads'))
    return void xml(
      `<InitiateMultipartUploadResult><UploadId>${randomUUID()}</UploadId></InitiateMultipartUploadResult>`
    )
  if (method === 'PUT' && query.has('partNumber')) {
    cloud.parts.set(String(query.get('partNumber')), body)
    return void response.writeHead(200, { ...confirmed, etag: `"${md5(body)}"` }).end()
  }
  if (method === 'POST' && query.has('uploadId')) {
    const joined = Buffer.concat([...cloud.parts].sort(([a], [b]) => Number(a) - Number(b)).map(([, part]) => part))
    cloud.objects.set(pathname, { body: joined, headers: confirmed })
    return void xml('<CompleteMultipartUploadResult><ETag>"e-1"</ETag></CompleteMultipartUploadResult>')
  }
  if (method === 'PUT' || method === 'POST') {
    cloud.objects.set(pathname, { body, headers: confirmed })
    return void response
      .writeHead(pathname.startsWith('/backup/') ? 200 : 201, { ...confirmed, etag: `"${md5(body)}"` })
      .end()
  }
  const isPlace = pathname.replace(/\/$/, '').split('/').length <= (pathname.startsWith('/v1/') ? 4 : 2)
  const stored = cloud.objects.get(pathname)
  if (method === 'DELETE') {
    cloud.objects.delete(pathname)
    return void response.writeHead(204).end()
  }
  if (!stored) return void response.writeHead(isPlace ? 204 : 404).end()
  const [, from = '0', to = ''] = /bytes=(\d+)-(\d*)/.exec(request.headers.range ?? '') ?? []
  const piece = request.headers.range
    ? stored.body.subarray(Number(from), to === '' ? undefined : Number(to) + 1)
    : stored.body
  const etag = `"${md5(stored.body)}"`
  response
    .writeHead(request.headers.range ? 206 : 200, { ...stored.headers, etag, 'content-length': piece.length })
    .end(method === 'HEAD' ? undefined : piece)
}
