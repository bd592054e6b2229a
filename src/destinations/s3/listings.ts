import {
  ListMultipartUploadsCommand,
  type ListMultipartUploadsCommandOutput,
  ListPartsCommand,
  type ListPartsCommandOutput,
  type S3Client
} from '@aws-sdk/client-s3'
import { failure } from '../failures.ts'
import { MAX_PARTS } from './parts.ts'

/** A part as the store lists it. */
export type StoredPart = { readonly etag: string; readonly bytes: number }

/** An upload that is not complete, as the store lists it. `initiator` names the login that has begun it, where stores say so. */
export type StoredUpload = { readonly id: string; readonly begunAt: Date; readonly initiator: string | undefined }

type ObjectInput = { readonly Bucket: string; readonly Key: string }

/** Of uploads: their keys may be long. Of parts, pages have at most 1000 anyway. */
const PAGE_UPLOADS = 200
const MOST_UPLOADS = 10_000

/**
 * The parts of an upload by number.
 * @param host for messages
 * @throws what the SDK throws; DestinationError for a list that does not go on
 */
export async function listParts(
  client: S3Client,
  upload: ObjectInput & { readonly UploadId: string },
  host: string,
  signal: AbortSignal
): Promise<ReadonlyMap<number, StoredPart>> {
  const parts = new Map<number, StoredPart>()
  for (let last = '0', after: string | undefined = last; after !== undefined; last = after) {
    const page: ListPartsCommandOutput = await client.send(
      new ListPartsCommand({ ...upload, PartNumberMarker: after }),
      { abortSignal: signal }
    )
    for (const { PartNumber, ETag, Size } of page.Parts ?? []) {
      if (PartNumber !== undefined && ETag !== undefined && Size !== undefined)
        parts.set(PartNumber, { etag: ETag, bytes: Size })
    }
    // Some tell a marker on the last page too.
    after = page.IsTruncated ? page.NextPartNumberMarker : undefined
    if (after === undefined) break
    if (!(Number(after) > Number(last)) || parts.size > MAX_PARTS) throw failure('endlessList', host)
  }
  return parts
}

/** All uploads to exactly this key. As `listParts`. */
export async function listUploads(
  client: S3Client,
  { Bucket, Key }: ObjectInput,
  host: string,
  signal: AbortSignal
): Promise<StoredUpload[]> {
  const uploads: StoredUpload[] = []
  for (let last: string | undefined; ; ) {
    const page: ListMultipartUploadsCommandOutput = await client.send(
      new ListMultipartUploadsCommand({
        Bucket,
        Prefix: Key,
        MaxUploads: PAGE_UPLOADS,
        ...(last !== undefined && { KeyMarker: Key, UploadIdMarker: last })
      }),
      { abortSignal: signal }
    )
    for (const { Key: key, UploadId: id, Initiated: begunAt = new Date(0), Initiator } of page.Uploads ?? []) {
      if (key === Key && id !== undefined) uploads.push({ id, begunAt, initiator: Initiator?.ID })
    }
    const { IsTruncated, NextKeyMarker, NextUploadIdMarker: after } = page
    // Keys come in their order, and of those with this prefix the key itself is the first.
    if (!IsTruncated || NextKeyMarker !== Key || after === undefined) return uploads
    if (after === last || uploads.length > MOST_UPLOADS) throw failure('endlessList', host)
    last = after
  }
}
