import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  HeadObjectCommand,
  type S3Client,
  UploadPartCommand
} from '@aws-sdk/client-s3'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import type { ByteSource } from '../../domain/bytes.ts'
import { DestinationError } from '../../domain/destination-errors.ts'
import type { Hashers } from '../../hashing/hashers.ts'
import type { Connections } from '../connection.ts'
import type { Part } from '../destination.ts'
import { failure } from '../failures.ts'
import { type Answer, put } from '../put.ts'
import { errorName, s3CodeIn, s3Failure, sdkFailure } from './failures.ts'
import type { S3Object } from './settings.ts'

/** Marks the objects we write, so that a HEAD can tell ours from another's. */
const EXPORT_ID = 'glance-export-id'
/** A part begins to be sent within moments of its signing; the servers check the time at the beginning. */
const SIGNATURE_SECONDS = 3600

/** What a HEAD says of the object: `unreadable` when these credentials may write but not read. */
export type Found =
  | { readonly status: 'absent' }
  | { readonly status: 'unreadable' }
  | { readonly status: 'present'; readonly length: number; readonly ours: boolean }

/** The S3 calls about one object, with their failures as DestinationErrors. */
export class MultipartCalls {
  /** Host and port, for messages. */
  readonly host: string
  readonly #client: S3Client
  readonly #connections: Connections
  readonly #hashers: Hashers
  readonly #object: { readonly Bucket: string; readonly Key: string }

  constructor(uses: {
    readonly client: S3Client
    readonly connections: Connections
    readonly hashers: Hashers
    readonly object: S3Object
    readonly host: string
  }) {
    this.host = uses.host
    this.#client = uses.client
    this.#connections = uses.connections
    this.#hashers = uses.hashers
    this.#object = { Bucket: uses.object.bucket, Key: uses.object.key }
  }

  get #exportId(): string {
    return this.#object.Key.slice(this.#object.Key.lastIndexOf('/') + 1)
  }

  /** @returns the upload id */
  async create(mediaType: string, signal: AbortSignal): Promise<string> {
    const command = new CreateMultipartUploadCommand({
      ...this.#object,
      ContentType: mediaType,
      Metadata: { [EXPORT_ID]: this.#exportId }
    })
    const { UploadId } = await this.#failing(signal, this.#client.send(command, { abortSignal: signal }))
    if (UploadId === undefined) throw failure('notHttp', this.host)
    return UploadId
  }

  /**
   * Sends one part and compares what arrived with what was sent.
   * @returns the part's ETag, as `complete` wants it
   */
  async sendPart(uploadId: string, part: Part, body: ByteSource, signal: AbortSignal): Promise<string> {
    const command = new UploadPartCommand({ ...this.#object, UploadId: uploadId, PartNumber: part.number })
    // Signed in the URL with the payload left open: the body streams through without being read twice.
    const url = await getSignedUrl(this.#client, command, { expiresIn: SIGNATURE_SECONDS })
    using md5 = this.#hashers.start('md5')
    const answer = await put({
      method: 'PUT',
      url: new URL(url),
      headers: {},
      length: part.length,
      body,
      connections: this.#connections,
      credentials: true,
      md5,
      signal
    })
    if (answer.status !== 200) throw s3Failure(this.host, s3CodeIn(answer.body), answer.status)
    const { etag } = answer.headers
    if (etag === undefined) throw failure('noReceipt', this.host)
    if (etagIsMd5(answer) && unquoted(etag) !== answer.md5) throw failure('bytesDiffer', this.host)
    return etag
  }

  /** @param etags in the order of the parts, the first being part 1 */
  async complete(uploadId: string, etags: ReadonlyMap<number, string>, signal: AbortSignal): Promise<void> {
    const parts = [...etags].sort(([a], [b]) => a - b).map(([PartNumber, ETag]) => ({ PartNumber, ETag }))
    const command = new CompleteMultipartUploadCommand({
      ...this.#object,
      UploadId: uploadId,
      MultipartUpload: { Parts: parts }
    })
    await this.#failing(signal, this.#client.send(command, { abortSignal: signal }))
  }

  /** Removes the upload and its parts; one that is gone is no error. */
  async abort(uploadId: string, signal: AbortSignal): Promise<void> {
    const command = new AbortMultipartUploadCommand({ ...this.#object, UploadId: uploadId })
    const sent = this.#client.send(command, { abortSignal: signal }).catch((error: unknown) => {
      if (!['NoSuchUpload', 'NoSuchBucket'].includes(errorName(error))) throw error
    })
    await this.#failing(signal, sent)
  }

  async find(signal: AbortSignal): Promise<Found> {
    const command = new HeadObjectCommand(this.#object)
    try {
      const head = await this.#failing(signal, this.#client.send(command, { abortSignal: signal }))
      return {
        status: 'present',
        length: head.ContentLength ?? -1,
        ours: head.Metadata?.[EXPORT_ID] === this.#exportId
      }
    } catch (error) {
      const status = error instanceof DestinationError ? error.upstreamStatus : undefined
      if (status === 404) return { status: 'absent' }
      if (status === 403) return { status: 'unreadable' }
      throw error
    }
  }

  async remove(signal: AbortSignal): Promise<void> {
    await this.#failing(signal, this.#client.send(new DeleteObjectCommand(this.#object), { abortSignal: signal }))
  }

  async #failing<T>(signal: AbortSignal, call: Promise<T>): Promise<T> {
    try {
      return await call
    } catch (error) {
      signal.throwIfAborted()
      throw sdkFailure(this.host, error)
    }
  }
}

const unquoted = (etag: string): string => etag.replaceAll('"', '').toLowerCase()

/** With a KMS or customer key the ETag looks like an MD5 and is none (S3 API, `ETag` of Object). */
function etagIsMd5({ headers }: Answer): boolean {
  const encryption = String(headers['x-amz-server-side-encryption'] ?? 'AES256')
  const customerKey = headers['x-amz-server-side-encryption-customer-algorithm'] !== undefined
  return encryption === 'AES256' && !customerKey && /^[0-9a-f]{32}$/.test(unquoted(headers.etag ?? ''))
}
