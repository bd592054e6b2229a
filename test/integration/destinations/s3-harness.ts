import { randomUUID } from 'node:crypto'
import type { LookupFunction } from 'node:net'
import {
  CreateBucketCommand,
  GetObjectCommand,
  type GetObjectCommandInput,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  S3Client
} from '@aws-sdk/client-s3'
import type { Limits } from '../../../src/destinations/connection.ts'
import type { Credentials, UploadTarget } from '../../../src/destinations/destination.ts'
import { Secret } from '../../../src/domain/secret.ts'
import type { Hashers } from '../../../src/hashing/hashers.ts'
import { PATIENT } from '../../contracts/destination.contract.ts'
import type { S3Access } from '../../peers/swift.ts'
import { breakStep, type Fault, faultServer } from '../../support/fault-server.ts'
import { uploadTarget } from '../../support/upload-target.ts'
import { workersOf } from '../../support/workers.ts'

export const isPart = ({ url }: { url: string }) => url.includes('partNumber=')
export const isComplete = ({ method, url }: { method: string; url: string }) =>
  method === 'POST' && url.includes('uploadId=')
export const isHead = ({ method }: { method: string }) => method === 'HEAD'

/**
 * The destination in front of a real S3 server, with a new bucket there and a proxy between them. What the server holds is
 * looked at with the SDK as it comes, past the proxy.
 */
export async function s3Harness(
  s3: S3Access,
  hashers: Hashers,
  changes: Partial<Credentials> = {},
  limits: Limits = PATIENT,
  /** Name by which the store is reached: the look-up of the tests has all of them on this machine. */
  host = '127.0.0.1'
) {
  const bucket = `b-${randomUUID()}`
  const { accessKeyId, secretAccessKey } = s3
  const faults = await faultServer(Number(new URL(s3.endpoint).port))
  const proxy = `http://${host}:${faults.port}`
  const options = {
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: { accessKeyId, secretAccessKey },
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED'
  } as const
  const client = new S3Client({ ...options, endpoint: s3.endpoint })
  const signer = new S3Client({ ...options, endpoint: proxy })
  await client.send(new CreateBucketCommand({ Bucket: bucket }))
  const lookup = ((_name, _options, found) => found(null, [{ address: '127.0.0.1', family: 4 }])) as LookupFunction
  const workers = workersOf('s3', { hashers, allowedNetworks: ['127.0.0.0/8'], allowedEndpoints: [], limits, lookup })
  const credentials: Credentials = {
    kind: 's3_static',
    access_key_id: accessKeyId,
    secret_access_key: secretAccessKey,
    endpoint: proxy,
    ...changes
  }
  const keyOf = ({ url }: UploadTarget) => decodeURIComponent(url.pathname.slice(1))
  const target = (length: number, more: Partial<UploadTarget> = {}) =>
    uploadTarget(`s3://${bucket}/a%20folder`, length, credentials, more)

  const read = async (of: UploadTarget, more: Partial<GetObjectCommandInput> = {}): Promise<Buffer | undefined> => {
    const command = new GetObjectCommand({ Bucket: bucket, Key: keyOf(of), ...more })
    const answer = await client.send(command).catch((error: Error) => {
      if (error.name === 'NoSuchKey') return undefined
      throw error
    })
    return answer && Buffer.from((await answer.Body?.transformToByteArray()) ?? [])
  }

  return {
    ...workers,
    atomic: true,
    marks: true,
    bucket,
    client,
    /** Signs URLs that lead through the proxy. */
    signer,
    credentials,
    faults,
    keyOf,
    target: (length: number) => target(length),
    targetWith: target,
    /** The same object, to be written through signed URLs. */
    presigned(of: UploadTarget, urls: Readonly<Record<string, unknown>>): UploadTarget {
      return { ...of, credentials: new Secret<Credentials>({ kind: 's3_presigned', ...urls }) }
    },
    read: (of: UploadTarget) => read(of),
    readWith: read,
    async kept() {
      const objects = await client.send(new ListObjectsV2Command({ Bucket: bucket }))
      const uploads = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket }))
      return (objects.Contents?.length ?? 0) + (uploads.Uploads?.length ?? 0)
    },
    breakNextPart: (fault: Fault) => faults.inject(fault, isPart),
    breakNextCommit: (how: 'refused' | 'unheard') => breakStep(faults, how, isComplete, isHead),
    async [Symbol.asyncDispose]() {
      client.destroy()
      signer.destroy()
      workers.closeWorkers()
      await faults[Symbol.asyncDispose]()
    }
  }
}

export type S3Harness = Awaited<ReturnType<typeof s3Harness>>
