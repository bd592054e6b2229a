import type { Hashers } from '../../hashing/hashers.ts'
import type { AddressPolicy } from '../address.ts'
import type { Connections } from '../connection.ts'
import type { Destination, UploadTarget } from '../destination.ts'
import { failure } from '../failures.ts'
import type { MultipartCalls } from './multipart.ts'
import { MAX_OBJECT_BYTES } from './parts.ts'
import { bucketEndpoint, readObject, readSettings, S3_CREDENTIALS } from './settings.ts'
import { S3Upload } from './upload.ts'

type S3Uses = {
  readonly policy: AddressPolicy
  readonly connections: Connections
  readonly hashers: Hashers
}

/** Writes objects to S3 and what speaks its protocol, as multipart uploads: nothing can be seen before they are complete. */
export function createS3Destination(uses: S3Uses): Destination {
  return {
    schemes: ['s3'],
    credentialSchemas: S3_CREDENTIALS,
    anonymous: false,
    anyOrder: true,
    check(url, credentials) {
      const { bucket } = readObject(url)
      const pointer = '/export_to_credentials/endpoint'
      uses.policy.checkHost(bucketEndpoint(readSettings(credentials, bucket), bucket), { credentials: true, pointer })
    },
    async open(target, signal) {
      const calls = await callsFor(uses, target)
      if (target.length > MAX_OBJECT_BYTES) throw failure('tooLarge', calls.host)
      const uploadId = await calls.create(target.mediaType, signal)
      return new S3Upload(calls, target, uploadId)
    },
    async discard(target, state, signal) {
      const { uploadId } = state
      if (uploadId !== undefined) await (await callsFor(uses, target)).abort(uploadId, signal)
    }
  }
}

/** The SDK takes 30 MiB of memory, so it is loaded by the first export that goes to S3. */
async function callsFor(
  { connections, hashers }: Pick<S3Uses, 'connections' | 'hashers'>,
  target: UploadTarget
): Promise<MultipartCalls> {
  const [{ createS3Client }, { MultipartCalls }] = await Promise.all([import('./client.ts'), import('./multipart.ts')])
  const object = readObject(target.url)
  const settings = readSettings(target.credentials?.unwrap(), object.bucket)
  return new MultipartCalls({
    client: createS3Client(settings, connections),
    connections,
    hashers,
    object,
    host: bucketEndpoint(settings, object.bucket).host
  })
}
