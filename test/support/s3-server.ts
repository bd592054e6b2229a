import { createHash, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'

type StoredObject = {
  readonly body: Buffer
  readonly etag: string
  readonly mediaType: string
  readonly metadata: Readonly<Record<string, string>>
}
type StoredUpload = Pick<StoredObject, 'mediaType' | 'metadata'> & {
  readonly place: string
  readonly parts: Map<number, { readonly body: Buffer; readonly etag: string }>
}

const SMALLEST_PART_BYTES = 5 * 1024 * 1024
const md5 = (bytes: Buffer | string) => createHash('md5').update(bytes).digest('hex')

class S3Error extends Error {
  readonly status: number
  readonly code: string

  constructor(status: number, code: string) {
    super(code)
    this.status = status
    this.code = code
  }
}

/**
 * The part of S3 that multipart uploads use, in memory, path style. Requests have to be signed (SigV4, in a header or in the
 * query) with a known key id; the signature itself is not computed.
 */
export async function s3Server(settings: { readonly buckets: readonly string[]; readonly accessKeyId: string }) {
  const objects = new Map<string, StoredObject>()
  const uploads = new Map<string, StoredUpload>()

  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const url = new URL(request.url ?? '', 'http://s3')
    const query = url.searchParams
    const [, bucket = ''] = url.pathname.split('/')
    const place = decodeURIComponent(url.pathname)
    const body = await buffer(request)

    checkSignature(request, query)
    if (!settings.buckets.includes(bucket)) throw new S3Error(404, 'NoSuchBucket')
    const uploadId = query.get('uploadId')
    const upload = () => {
      const found = uploads.get(uploadId ?? '')
      if (found?.place !== place) throw new S3Error(404, 'NoSuchUpload')
      return found
    }
    switch (`${request.method} ${uploadId === null ? (query.has('uploads') ? 'uploads' : 'object') : 'upload'}`) {
      case 'POST uploads': {
        const id = randomUUID()
        uploads.set(id, {
          place,
          parts: new Map(),
          mediaType: request.headers['content-type'] ?? '',
          metadata: metadata(request)
        })
        return xml(
          response,
          `<InitiateMultipartUploadResult><UploadId>${id}</UploadId></InitiateMultipartUploadResult>`
        )
      }
      case 'PUT upload': {
        const etag = md5(body)
        upload().parts.set(Number(query.get('partNumber')), { body, etag })
        return response.writeHead(200, { etag: `"${etag}"` }).end()
      }
      case 'POST upload': {
        const { parts, ...rest } = upload()
        objects.set(place, { ...rest, ...assemble(parts, body.toString()) })
        uploads.delete(uploadId ?? '')
        return xml(
          response,
          `<CompleteMultipartUploadResult><Bucket>${bucket}</Bucket></CompleteMultipartUploadResult>`
        )
      }
      case 'DELETE upload':
        upload()
        uploads.delete(uploadId ?? '')
        return response.writeHead(204).end()
      case 'DELETE object':
        objects.delete(place)
        return response.writeHead(204).end()
      case 'GET uploads':
        return xml(response, `<ListMultipartUploadsResult>${[...uploads.keys()].join()}</ListMultipartUploadsResult>`)
      case 'HEAD object': {
        const object = objects.get(place)
        if (object === undefined) return response.writeHead(404).end()
        const named = Object.entries(object.metadata).map(([name, value]) => [`x-amz-meta-${name}`, value])
        const headers = {
          'content-length': object.body.length,
          etag: `"${object.etag}"`,
          'content-type': object.mediaType
        }
        return response.writeHead(200, { ...headers, ...Object.fromEntries(named) }).end()
      }
      default:
        throw new S3Error(501, 'NotImplemented')
    }
  }

  const checkSignature = (request: IncomingMessage, query: URLSearchParams) => {
    const header = request.headers.authorization ?? ''
    const credential = query.get('X-Amz-Credential') ?? /Credential=([^,]+)/.exec(header)?.[1]
    const signature = query.get('X-Amz-Signature') ?? /Signature=([^,]+)/.exec(header)?.[1]
    if (credential === undefined || !/^[0-9a-f]{64}$/.test(signature ?? '')) throw new S3Error(403, 'AccessDenied')
    if (credential.split('/')[0] !== settings.accessKeyId) throw new S3Error(403, 'InvalidAccessKeyId')
    if (request.headers['x-amz-trailer'] !== undefined) throw new S3Error(501, 'NotImplemented')
  }

  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => {
      if (!(error instanceof S3Error)) return response.destroy()
      const text = `<?xml version="1.0"?><Error><Code>${error.code}</Code><Message></Message></Error>`
      return response.writeHead(error.status, { 'content-type': 'application/xml' }).end(text)
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo

  return {
    port,
    objects,
    uploads,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    }
  }
}

const xml = (response: ServerResponse, text: string) =>
  response.writeHead(200, { 'content-type': 'application/xml' }).end(`<?xml version="1.0"?>${text}`)

const metadata = (request: IncomingMessage): Record<string, string> =>
  Object.fromEntries(
    Object.entries(request.headers)
      .filter(([name]) => name.startsWith('x-amz-meta-'))
      .map(([name, value]) => [name.slice('x-amz-meta-'.length), String(value)])
  )

/** As S3: the parts of the list, in ascending order, with their ETags, all but the last of at least 5 MiB. */
function assemble(parts: StoredUpload['parts'], list: string): Pick<StoredObject, 'body' | 'etag'> {
  const asked = [...list.matchAll(/<Part>(.*?)<\/Part>/gs)].map(([, part = '']) => ({
    number: Number(/<PartNumber>(\d+)</.exec(part)?.[1]),
    etag: (/<ETag>(.*?)</.exec(part)?.[1] ?? '').replaceAll('&quot;', '').replaceAll('"', '')
  }))
  if (asked.length === 0) throw new S3Error(400, 'MalformedXML')
  const chosen = asked.map(({ number, etag }, index) => {
    const part = parts.get(number)
    if (part?.etag !== etag) throw new S3Error(400, 'InvalidPart')
    if (number <= (asked[index - 1]?.number ?? 0)) throw new S3Error(400, 'InvalidPartOrder')
    if (index < asked.length - 1 && part.body.length < SMALLEST_PART_BYTES) throw new S3Error(400, 'EntityTooSmall')
    return part
  })
  const digests = Buffer.from(chosen.map(({ etag }) => etag).join(''), 'hex')
  return { body: Buffer.concat(chosen.map(({ body }) => body)), etag: `${md5(digests)}-${chosen.length}` }
}
