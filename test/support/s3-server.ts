import { createHash, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { isInChunks, readChunks } from './s3-chunks.ts'

type StoredObject = {
  readonly body: Buffer
  readonly etag: string
  readonly mediaType: string
  readonly metadata: Readonly<Record<string, string>>
  readonly storageClass: string | undefined
  /** `AES256`, `aws:kms` and the key, or the MD5 of the customer's key. */
  readonly encryption: string | undefined
  tags: Readonly<Record<string, string>>
}
type StoredUpload = Omit<StoredObject, 'body' | 'etag'> & {
  readonly place: string
  readonly begunAt: Date
  /** Key id of whoever has begun it. */
  readonly initiator: string
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

export type S3ServerSettings = {
  readonly buckets: readonly string[]
  /** Key ids that are known, and the session token that each needs. */
  readonly keys: Readonly<Record<string, string | undefined>>
  /** As Swift does: takes a customer's key and stores plain bytes. */
  readonly ignoresEncryption?: boolean
  /** As Ceph 16 does: drops the tags of a multipart upload, and the condition of its completing call. */
  readonly forgets?: boolean
  /** Entries of a list that come in one answer; all when absent. */
  readonly pageLength?: number
  /** As some do: does not know the condition of the completing call. */
  readonly refusesConditions?: boolean
  /** Does not say who has begun an upload. */
  readonly tellsNobody?: boolean
  /** As AWS has it: with a customer's key or one of the key service the ETag of a part is not its MD5. */
  readonly opaqueEtags?: boolean
  /** What becomes of parts in signed chunks: compared with their signatures, or not; refused; stored as they came. */
  readonly signedChunks?: 'checked' | 'believed' | 'refused' | 'stored'
}

/** Of every key of the server. */
const SECRET = 'a-secret-key'

/**
 * The part of S3 that exports use, in memory, path style. Requests have to be signed (SigV4, in a header or in the query) with
 * a known key id; the signature itself is not computed, those of chunks are.
 */
export async function s3Server(settings: S3ServerSettings) {
  const objects = new Map<string, StoredObject>()
  const uploads = new Map<string, StoredUpload>()
  const taken = new Map<string, number>()

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
    const object = () => {
      const found = objects.get(place)
      if (found === undefined) throw new S3Error(404, 'NoSuchKey')
      return found
    }
    const about = ['uploads', 'tagging'].find((name) => query.has(name)) ?? (uploadId === null ? 'object' : 'upload')
    switch (`${request.method} ${about}`) {
      case 'POST uploads': {
        const id = randomUUID()
        const facts = factsOf(request)
        uploads.set(id, {
          place,
          begunAt: new Date(),
          initiator: keyIdOf(request),
          parts: new Map(),
          ...facts,
          ...(settings.ignoresEncryption && { encryption: undefined }),
          ...(settings.forgets && { tags: {} })
        })
        if (!settings.ignoresEncryption) setEncryption(response, facts.encryption)
        return xml(
          response,
          `<InitiateMultipartUploadResult><UploadId>${id}</UploadId></InitiateMultipartUploadResult>`
        )
      }
      case 'PUT upload': {
        checkKey(request, upload().encryption)
        const bytes = bytesOf(request, body)
        const ofOthers = settings.opaqueEtags && !['AES256', undefined].includes(upload().encryption)
        const etag = ofOthers ? md5(randomUUID()) : md5(bytes)
        upload().parts.set(Number(query.get('partNumber')), { body: bytes, etag })
        taken.set(place, (taken.get(place) ?? 0) + bytes.length)
        setEncryption(response, upload().encryption)
        return response.writeHead(200, { etag: `"${etag}"` }).end()
      }
      case 'GET upload': {
        const after = Number(query.get('part-number-marker') ?? 0)
        const all = [...upload().parts].filter(([number]) => number > after).sort(([a], [b]) => a - b)
        const page = all.slice(0, settings.pageLength)
        const parts = page.map(
          ([number, { etag, body }]) =>
            `<Part><PartNumber>${number}</PartNumber><ETag>&quot;${etag}&quot;</ETag><Size>${body.length}</Size></Part>`
        )
        const next = `<NextPartNumberMarker>${page.at(-1)?.[0] ?? after}</NextPartNumberMarker>`
        const truncated = `<IsTruncated>${page.length < all.length}</IsTruncated>`
        return xml(response, `<ListPartsResult>${truncated}${next}${parts.join('')}</ListPartsResult>`)
      }
      case 'POST upload': {
        const { parts, ...rest } = upload()
        if (request.headers['if-none-match'] === '*') {
          if (settings.refusesConditions) throw new S3Error(501, 'NotImplemented')
          if (objects.has(place) && !settings.forgets) throw new S3Error(412, 'PreconditionFailed')
        }
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
      case 'PUT object':
        objects.set(place, { ...factsOf(request), body, etag: md5(body) })
        return response.writeHead(200, { etag: `"${md5(body)}"` }).end()
      case 'PUT tagging':
        object().tags = tagsIn(body.toString())
        return response.writeHead(200).end()
      case 'GET object': {
        checkKey(request, object().encryption)
        const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? []
        const { length } = object().body
        if (from === undefined) return response.writeHead(200, { 'content-length': length }).end(object().body)
        const range = object().body.subarray(Number(from), Number(to) + 1)
        const headers = { 'content-range': `bytes ${from}-${Number(from) + range.length - 1}/${length}` }
        return response.writeHead(206, { ...headers, 'content-length': range.length }).end(range)
      }
      case 'DELETE object':
        objects.delete(place)
        return response.writeHead(204).end()
      case 'GET uploads':
        return xml(response, uploadsUnder(bucket, query))
      case 'HEAD object': {
        const found = objects.get(place)
        if (found === undefined) return response.writeHead(404).end()
        checkKey(request, found.encryption)
        const named = Object.entries(found.metadata).map(([name, value]) => [`x-amz-meta-${name}`, value])
        const tags = Object.keys(found.tags).length
        const headers = {
          'content-length': found.body.length,
          etag: `"${found.etag}"`,
          'content-type': found.mediaType,
          ...(tags > 0 && { 'x-amz-tagging-count': tags })
        }
        return response.writeHead(200, { ...headers, ...Object.fromEntries(named) }).end()
      }
      default:
        throw new S3Error(501, 'NotImplemented')
    }
  }

  const uploadsUnder = (bucket: string, query: URLSearchParams): string => {
    const [key = '', id = ''] = [query.get('key-marker') ?? '', query.get('upload-id-marker') ?? '']
    const all = [...uploads]
      .map(([uploadId, upload]) => ({ ...upload, uploadId, key: upload.place.slice(`/${bucket}/`.length) }))
      .filter((upload) => upload.place.startsWith(`/${bucket}/${query.get('prefix') ?? ''}`))
      .sort((a, b) => (a.key + a.uploadId < b.key + b.uploadId ? -1 : 1))
      .filter((upload) => upload.key > key || (upload.key === key && upload.uploadId > id))
    const page = all.slice(0, settings.pageLength)
    const [entries, last] = [
      page.map(
        ({ key, uploadId, begunAt, initiator }) =>
          `<Upload><Key>${key}</Key><UploadId>${uploadId}</UploadId><Initiated>${begunAt.toISOString()}</Initiated>` +
          `${settings.tellsNobody ? '' : `<Initiator><ID>${initiator}</ID></Initiator>`}</Upload>`
      ),
      page.at(-1)
    ]
    const next = last
      ? `<NextKeyMarker>${last.key}</NextKeyMarker><NextUploadIdMarker>${last.uploadId}</NextUploadIdMarker>`
      : ''
    const truncated = `<IsTruncated>${page.length < all.length}</IsTruncated>`
    return `<ListMultipartUploadsResult>${truncated}${next}${entries.join('')}</ListMultipartUploadsResult>`
  }

  const bytesOf = ({ headers }: IncomingMessage, body: Buffer): Buffer => {
    const { signedChunks = 'checked' } = settings
    if (!isInChunks(headers) || signedChunks === 'stored') return body
    if (signedChunks === 'refused') throw new S3Error(501, 'NotImplemented')
    const bytes = readChunks(headers, body, signedChunks === 'checked' ? SECRET : undefined)
    if (bytes === undefined) throw new S3Error(403, 'SignatureDoesNotMatch')
    return bytes
  }

  const checkSignature = (request: IncomingMessage, query: URLSearchParams) => {
    if (query.has('Signature')) return checkVersion2(request, query)
    const header = request.headers.authorization ?? ''
    const credential = query.get('X-Amz-Credential') ?? /Credential=([^,]+)/.exec(header)?.[1]
    const signature = query.get('X-Amz-Signature') ?? /Signature=([^,]+)/.exec(header)?.[1]
    if (credential === undefined || !/^[0-9a-f]{64}$/.test(signature ?? '')) throw new S3Error(403, 'AccessDenied')
    const [keyId = ''] = credential.split('/')
    if (!Object.hasOwn(settings.keys, keyId)) throw new S3Error(403, 'InvalidAccessKeyId')
    const token = query.get('X-Amz-Security-Token') ?? request.headers['x-amz-security-token']
    if ((token ?? undefined) !== settings.keys[keyId]) throw new S3Error(400, 'ExpiredToken')
    if (request.headers['x-amz-trailer'] !== undefined) throw new S3Error(501, 'NotImplemented')
  }

  /** Which signs the type too; a URL that was signed for none is not good with one. */
  const checkVersion2 = ({ headers }: IncomingMessage, query: URLSearchParams) => {
    if (!Object.hasOwn(settings.keys, query.get('AWSAccessKeyId') ?? '')) throw new S3Error(403, 'InvalidAccessKeyId')
    if (headers['content-type'] !== undefined) throw new S3Error(403, 'SignatureDoesNotMatch')
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
    /** Bytes of all parts that were taken for an object, also of those that were sent again or dropped. */
    taken,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    }
  }
}

const xml = (response: ServerResponse, text: string) =>
  response.writeHead(200, { 'content-type': 'application/xml' }).end(`<?xml version="1.0"?>${text}`)

const keyIdOf = ({ headers }: IncomingMessage): string =>
  /Credential=([^/]+)\//.exec(headers.authorization ?? '')?.[1] ?? ''

const CUSTOMER = 'x-amz-server-side-encryption-customer'

const factsOf = (request: IncomingMessage): Omit<StoredObject, 'body' | 'etag'> => {
  const { headers } = request
  const [mode, kmsKey] = [
    headers['x-amz-server-side-encryption'],
    headers['x-amz-server-side-encryption-aws-kms-key-id']
  ]
  const encryption = headers[`${CUSTOMER}-key-md5`] ?? (mode && [mode, kmsKey].filter(Boolean).join(' '))
  return {
    mediaType: headers['content-type'] ?? '',
    metadata: metadata(request),
    storageClass: headers['x-amz-storage-class']?.toString(),
    encryption: encryption?.toString(),
    tags: Object.fromEntries(new URLSearchParams(headers['x-amz-tagging']?.toString()))
  }
}

function setEncryption(response: ServerResponse, encryption: string | undefined): void {
  if (encryption === undefined) return
  const [mode = ''] = encryption.split(' ')
  const own = mode === 'AES256' || mode === 'aws:kms'
  response.setHeader(own ? 'x-amz-server-side-encryption' : `${CUSTOMER}-algorithm`, own ? mode : 'AES256')
}

/** What a customer's key encrypts needs the key again, right down to its MD5. */
function checkKey({ headers }: IncomingMessage, encryption: string | undefined): void {
  if (encryption === undefined || encryption.startsWith('AES256') || encryption.startsWith('aws:kms')) return
  const key = Buffer.from(String(headers[`${CUSTOMER}-key`] ?? ''), 'base64')
  const fits = createHash('md5').update(key).digest('base64') === encryption
  if (!fits || headers[`${CUSTOMER}-algorithm`] !== 'AES256') throw new S3Error(400, 'InvalidRequest')
}

const tagsIn = (text: string): Record<string, string> =>
  Object.fromEntries(
    [...text.matchAll(/<Key>(.*?)<\/Key><Value>(.*?)<\/Value>/g)].map(([, key, value]) => [key, value])
  )

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
