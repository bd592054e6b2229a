import {
  ListMultipartUploadsCommand,
  type ListMultipartUploadsCommandOutput,
  ListPartsCommand,
  type ListPartsCommandOutput,
  type S3Client
} from '@aws-sdk/client-s3'

/** A part as the store lists it. */
export type StoredPart = { readonly etag: string; readonly bytes: number }

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

/** The ids of all uploads to exactly this key. Throws what the SDK throws. */
export async function listUploads(
  client: S3Client,
  { Bucket, Key }: ObjectInput,
  signal: AbortSignal
): Promise<string[]> {
  const ids: string[] = []
  let after: { KeyMarker?: string | undefined; UploadIdMarker?: string | undefined } | undefined = {}
  while (after !== undefined) {
    const page: ListMultipartUploadsCommandOutput = await client.send(
      new ListMultipartUploadsCommand({ Bucket, Prefix: Key, ...after }),
      { abortSignal: signal }
    )
    for (const upload of page.Uploads ?? []) {
      if (upload.Key === Key && upload.UploadId !== undefined) ids.push(upload.UploadId)
    }
    const { IsTruncated, NextKeyMarker: KeyMarker, NextUploadIdMarker: UploadIdMarker } = page
    after = IsTruncated && KeyMarker !== undefined ? { KeyMarker, UploadIdMarker } : undefined
  }
  return ids
}
