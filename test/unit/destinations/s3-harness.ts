import type { Limits } from '../../../src/destinations/connection.ts'
import type { Credentials, Part, UploadTarget } from '../../../src/destinations/destination.ts'
import type { Hashers } from '../../../src/hashing/hashers.ts'
import { PATIENT } from '../../contracts/destination.contract.ts'
import { breakStep, type Fault, faultServer } from '../../support/fault-server.ts'
import { type S3ServerSettings, s3Server } from '../../support/s3-server.ts'
import { uploadTarget } from '../../support/upload-target.ts'
import { workersOf } from '../../support/workers.ts'

const ACCESS_KEY_ID = 'AKIATEST'
const never = new AbortController().signal

/** The destination in front of a server in memory, with a proxy between them. */
export async function s3Harness(
  hashers: Hashers,
  changes: Partial<Credentials> = {},
  limits: Limits = PATIENT,
  behaviour: Partial<S3ServerSettings> = {}
) {
  const keys = { [ACCESS_KEY_ID]: changes.session_token as string | undefined }
  const server = await s3Server({ buckets: ['exports', 'Exports.Old'], keys, ...behaviour })
  const faults = await faultServer(server.port)
  const workers = workersOf('s3', { hashers, allowedNetworks: ['127.0.0.0/8'], allowedEndpoints: [], limits })
  const credentials: Credentials = {
    kind: 's3_static',
    access_key_id: ACCESS_KEY_ID,
    secret_access_key: 'a-secret-key',
    endpoint: `http://127.0.0.1:${faults.port}`,
    ...changes
  }
  const stored = (url: URL) => server.objects.get(`/${url.host}${decodeURIComponent(url.pathname)}`)
  return {
    ...workers,
    atomic: true,
    marks: true,
    server,
    faults,
    credentials,
    stored,
    target: (length: number, prefix = 's3://exports/some/prefix', more: Partial<UploadTarget> = {}) =>
      uploadTarget(prefix, length, credentials, more),
    read: async ({ url }: { url: URL }) => stored(url)?.body,
    kept: () => server.objects.size + server.uploads.size,
    breakNextPart: (fault: Fault) => faults.inject(fault, ({ method }) => method === 'PUT'),
    breakNextCommit: (how: 'refused' | 'unheard') => breakStep(faults, how, isComplete, isHead),
    async [Symbol.asyncDispose]() {
      workers.closeWorkers()
      await faults[Symbol.asyncDispose]()
      await server[Symbol.asyncDispose]()
    }
  }
}

export type S3Harness = Awaited<ReturnType<typeof s3Harness>>

export async function* bytes(length: number) {
  yield Buffer.alloc(length, 7)
}
export const part = (length: number): Part => ({ number: 1, offset: 0, length })
export const isComplete = ({ method, url }: { method: string; url: string }) =>
  method === 'POST' && url.includes('uploadId=')
export const isHead = ({ method }: { method: string }) => method === 'HEAD'

/** An upload with its only part sent. */
export async function sent(harness: S3Harness, length = 1000, more: Partial<UploadTarget> = {}) {
  const target = harness.target(length, undefined, more)
  const upload = await harness.destination.open(target, never)
  await upload.putPart(part(length), bytes(length), never)
  return { target, upload }
}

export const errorBody = (code: string) =>
  `<?xml version="1.0"?><Error><Code>${code}</Code><Message>hostile</Message></Error>`
