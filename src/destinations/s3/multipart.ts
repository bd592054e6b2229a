import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  PutObjectTaggingCommand,
  type S3Client,
  UploadPartCommand
} from '@aws-sdk/client-s3'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import type { ByteSource } from '../../domain/bytes.ts'
import { DestinationError } from '../../domain/destination-errors.ts'
import type { Found, Part, UploadTarget } from '../destination.ts'
import { exactly } from '../exactly.ts'
import { failure } from '../failures.ts'
import type { GetRequest } from '../get.ts'
import type { Situation } from '../situations.ts'
import { customerKeyHeaders, customerKeyInput, type Encryption, encryptionInput, isConfirmed } from './encryption.ts'
import { errorName, type Judge, sdkFailure } from './failures.ts'
import { listParts, listUploads, type StoredPart, type StoredUpload } from './listings.ts'
import type { S3Object } from './object.ts'
import { CONTENT_ID, EXPORT_ID, optionsInput } from './object-options.ts'
import { type PartUses, type Proof, type Receipt, sendPart } from './send-part.ts'
import { signChunks } from './signed-chunks.ts'

/** A part begins to be sent within moments of its signing; the servers check the time at the beginning. */
const SIGNATURE_SECONDS = 3600
/** An abort may miss a part that is still being stored: it is repeated until the store knows nothing of the upload. */
const MOST_ABORTS = 3

/** What stands at the object's key: as `find` tells it, and more. */
export type Head = Found & { readonly etag?: string | undefined; readonly tags?: number | undefined }

/** The S3 calls about one object, with their failures as DestinationErrors. */
export class MultipartCalls {
  /** Host and port, for messages. */
  readonly host: string
  readonly #client: S3Client
  readonly #uses: PartUses
  readonly #object: { readonly Bucket: string; readonly Key: string }
  readonly #encryption: Encryption

  constructor(uses: PartUses & { client: S3Client; object: S3Object; encryption: Encryption; host: string }) {
    this.host = uses.host
    this.#client = uses.client
    this.#uses = uses
    this.#object = { Bucket: uses.object.bucket, Key: uses.object.key }
    this.#encryption = uses.encryption
  }

  /** Begins an upload. @returns its id; `opaque`: the ETags of its parts need not be MD5s */
  async create(
    target: UploadTarget,
    signal: AbortSignal
  ): Promise<{ readonly uploadId: string; readonly opaque: boolean }> {
    const input = { ...this.#object, ...optionsInput(target), ...encryptionInput(this.#encryption) }
    const sent = this.#client.send(new CreateMultipartUploadCommand(input), { abortSignal: signal })
    const answer = await this.#failing(signal, sent, (refusal) => {
      const plain = this.#encryption.mode === 'none' && input.StorageClass === undefined && input.Tagging === undefined
      return !plain && UNKNOWN_OPTION.has(refusal.code) ? 'optionRefused' : undefined
    })
    const { UploadId } = answer
    if (UploadId === undefined) throw failure('notHttp', this.host)
    if (!isConfirmed(this.#encryption, answer)) {
      await this.abort(UploadId, signal)
      throw failure('notEncrypted', this.host)
    }
    // A bucket may encrypt by itself.
    const withOthersKey = answer.ServerSideEncryption?.startsWith('aws:kms') || this.#encryption.mode === 'c'
    return { uploadId: UploadId, opaque: withOthersKey === true }
  }

  /**
   * Sends a part.
   * @param onItsWay changes signed chunks, to see what the store makes of that
   * @throws DestinationError also when the store has got other bytes, as far as `proof` can tell
   */
  async sendPart(
    uploadId: string,
    part: Pick<Part, 'number' | 'length'>,
    body: ByteSource,
    { proof, signal, onItsWay }: { proof: Proof; signal: AbortSignal; onItsWay?: (body: ByteSource) => ByteSource }
  ): Promise<Receipt> {
    const command = new UploadPartCommand({
      ...this.#object,
      ...customerKeyInput(this.#encryption),
      UploadId: uploadId,
      PartNumber: part.number
    })
    // Signed in the URL with the payload left open: the body streams through without being read twice.
    const signed = await this.#failing(signal, getSignedUrl(this.#client, command, { expiresIn: SIGNATURE_SECONDS }))
    const headers = customerKeyHeaders(this.#encryption)
    const url = new URL(signed)
    if (proof !== 'chunks') return sendPart(this.#uses, { url, headers, length: part.length, body, signal, proof })

    for (const name of [...url.searchParams.keys()]) if (name.startsWith('X-Amz-')) url.searchParams.delete(name)
    const { credentials, region } = this.#client.config
    const signer = { keys: await this.#failing(signal, credentials()), region: await region(), now: new Date() }
    const whole = exactly(body, part.length, signal)
    const request = signChunks({ url, headers, length: part.length, body: whole }, signer)
    const sent = onItsWay ? onItsWay(request.body) : request.body
    return sendPart(this.#uses, { ...request, body: sent, signal, proof, judge: ofSignedChunks })
  }

  /**
   * @param etags of the parts, by number
   * @param replace whether an object of this name may be replaced
   */
  async complete(
    uploadId: string,
    etags: ReadonlyMap<number, string>,
    replace: boolean,
    signal: AbortSignal
  ): Promise<void> {
    const parts = [...etags].sort(([a], [b]) => a - b).map(([PartNumber, ETag]) => ({ PartNumber, ETag }))
    const command = new CompleteMultipartUploadCommand({
      ...this.#object,
      UploadId: uploadId,
      MultipartUpload: { Parts: parts },
      ...(!replace && { IfNoneMatch: '*' })
    })
    await this.#failing(signal, this.#client.send(command, { abortSignal: signal }))
  }

  /** The parts that the store has, by number; undefined when the upload is gone. */
  async parts(uploadId: string, signal: AbortSignal): Promise<ReadonlyMap<number, StoredPart> | undefined> {
    const listed = listParts(this.#client, { ...this.#object, UploadId: uploadId }, this.host, signal)
    return this.#failing(signal, unlessGone(listed))
  }

  /** All uploads to this object's key that are not complete, whoever has begun them. */
  async uploads(signal: AbortSignal): Promise<readonly StoredUpload[]> {
    return this.#failing(signal, listUploads(this.#client, this.#object, this.host, signal))
  }

  /** Removes the upload and its parts. @returns false when it was gone already */
  async abort(uploadId: string, signal: AbortSignal): Promise<boolean> {
    const upload = { ...this.#object, UploadId: uploadId }
    for (let aborts = 0; aborts < MOST_ABORTS; aborts += 1) {
      const sent = this.#client.send(new AbortMultipartUploadCommand(upload), { abortSignal: signal })
      if (!(await this.#failing(signal, unlessGone(sent)))) return aborts > 0
      const left = this.#client.send(new ListPartsCommand({ ...upload, MaxParts: 1 }), { abortSignal: signal })
      // Who may not list, or meets an error here, has aborted once all the same.
      const listed = await unlessGone(left).catch(() => undefined)
      signal.throwIfAborted()
      if (!listed?.Parts?.length) break
    }
    return true
  }

  /** Sets the tags of the object that is there. */
  async tag(tags: Readonly<Record<string, string>>, signal: AbortSignal): Promise<void> {
    const TagSet = Object.entries(tags).map(([Key, Value]) => ({ Key, Value }))
    const command = new PutObjectTaggingCommand({ ...this.#object, Tagging: { TagSet } })
    await this.#failing(signal, this.#client.send(command, { abortSignal: signal }))
  }

  async head(signal: AbortSignal): Promise<Head> {
    const command = new HeadObjectCommand({ ...this.#object, ...customerKeyInput(this.#encryption) })
    try {
      const head = await this.#failing(signal, this.#client.send(command, { abortSignal: signal }))
      return {
        status: 'present',
        length: head.ContentLength,
        exportId: head.Metadata?.[EXPORT_ID],
        contentId: head.Metadata?.[CONTENT_ID],
        etag: head.ETag,
        tags: head.TagCount
      }
    } catch (error) {
      const status = error instanceof DestinationError ? error.upstreamStatus : undefined
      if (status === 404) return { status: 'absent' }
      if (status === 403) return { status: 'unreadable' }
      throw error
    }
  }

  /** The request that reads the object; its signature is good for a while. */
  async reading(signal: AbortSignal): Promise<Omit<GetRequest, 'range'>> {
    const command = new GetObjectCommand({ ...this.#object, ...customerKeyInput(this.#encryption) })
    const url = await this.#failing(signal, getSignedUrl(this.#client, command, { expiresIn: SIGNATURE_SECONDS }))
    const headers = customerKeyHeaders(this.#encryption)
    return { url: new URL(url), headers, connections: this.#uses.connections, credentials: true, signal }
  }

  async remove(signal: AbortSignal): Promise<void> {
    await this.#failing(signal, this.#client.send(new DeleteObjectCommand(this.#object), { abortSignal: signal }))
  }

  /** Asks something about the bucket whose refusal carries an error code, which the answer to a HEAD has no room for. */
  async askBucket(signal: AbortSignal): Promise<void> {
    const command = new ListMultipartUploadsCommand({ Bucket: this.#object.Bucket, MaxUploads: 1 })
    await this.#failing(signal, this.#client.send(command, { abortSignal: signal }))
  }

  async #failing<T>(signal: AbortSignal, call: Promise<T>, judge?: Judge): Promise<T> {
    try {
      return await call
    } catch (error) {
      signal.throwIfAborted()
      throw sdkFailure(this.host, error, judge)
    }
  }
}

/**
 * What a refusal of signed chunks means once the store is known to take them: that what arrived does not fit the signatures. The
 * words for that differ, also by where in the body it was found.
 */
const ofSignedChunks = (situation: Situation): Situation =>
  ['unauthorized', 'forbidden', 'badRequest'].includes(situation) ? 'bytesDiffer' : situation

/** What stores answer to options that they do not know: Swift 501 and 400, Ceph 400. */
const UNKNOWN_OPTION = new Set(['InvalidArgument', 'InvalidRequest', 'NotImplemented'])

/** The answer; undefined when the upload is gone. */
const unlessGone = <T>(call: Promise<T>): Promise<T | undefined> =>
  call.catch((error: unknown) => {
    if (!['NoSuchUpload', 'NoSuchBucket'].includes(errorName(error))) throw error
    return undefined
  })
