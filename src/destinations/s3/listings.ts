import {
  ListMultipartUploadsCommand,
  type ListMultipartUploadsCommandOutput,
  ListPartsCommand,
  type ListPartsCommandOutput,
  type S3Client
} from '@aws-sdk/client-s3'

/** A part as the store lists it. */
export type StoredPart = { readonly etag: string; readonly bytes: number }

/** An upload that is not complete, as the store lists it. `initiator` names the login that has begun it, where stores say so. */
export type StoredUpload = { readonly id: string; readonly begunAt: Date; readonly initiator: string | undefined }

type ObjectInput = { readonly Bucket: string; readonly Key: string }

/** The parts of an upload by number; a page has at most 1000. Throws what the SDK throws. */
export async function listParts(
  client: S3Client,
  upload: ObjectInput & { readonly UploadId: string },
  signal: AbortSignal
): Promise<ReadonlyMap<number, StoredPart>> {
  const parts = new Map<number, StoredPart>()
  for (let after: string | undefined = '0'; after !== undefined; ) {
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
  }
  return parts
}

/** All uploads to exactly this key. Throws what the SDK throws. */
export async function listUploads(
  client: S3Client,
  { Bucket, Key }: ObjectInput,
  signal: AbortSignal
): Promise<StoredUpload[]> {
  const uploads: StoredUpload[] = []
  let after: { KeyMarker?: string | undefined; UploadIdMarker?: string | undefined } | undefined = {}
  while (after !== undefined) {
    const page: ListMultipartUploadsCommandOutput = await client.send(
      new ListMultipartUploadsCommand({ Bucket, Prefix: Key, ...after }),
      { abortSignal: signal }
    )
    for (const { Key: key, UploadId: id, Initiated: begunAt = new Date(0), Initiator } of page.Uploads ?? []) {
      if (key === Key && id !== undefined) uploads.push({ id, begunAt, initiator: Initiator?.ID })
    }
    const { IsTruncated, NextKeyMarker: KeyMarker, NextUploadIdMarker: UploadIdMarker } = page
    after = IsTruncated && KeyMarker !== undefined ? { KeyMarker, UploadIdMarker } : undefined
  }
  return uploads
}
