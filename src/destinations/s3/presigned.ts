import { credentialsInvalid } from '../credentials.ts'
import type { UploadTarget } from '../destination.ts'
import { failure } from '../failures.ts'
import { assertHoldable } from '../held-parts.ts'
import { recordedPartBytes } from '../recorded-parts.ts'
import { readTlsOptions } from '../tls.ts'
import { planFacts, tlsChecks } from './checks.ts'
import { readObjectUrl } from './object.ts'
import { createConnectionsFor } from './own-connections.ts'
import { MAX_PUT_BYTES, type PartPlan, partBytes, planOf } from './parts.ts'
import { isPresigned, type Presigned, readPresigned, signedUrls } from './presigned-settings.ts'
import { abortPresigned, PresignedMultipart, PresignedPut } from './presigned-upload.ts'
import type { S3Access, S3Uses } from './s3.ts'

/**
 * A store through URLs that somebody with keys has signed, for the one object that `export_to` names. They can write and not
 * look, so whether an object stands there is not known, and the object carries no marks.
 */
export function createPresignedAccess({ policy, connections, hashers }: S3Uses): S3Access {
  const connectionsFor = createConnectionsFor(connections)
  const usesFor = (target: UploadTarget) => ({ connections: connectionsFor(target), hashers })
  return {
    anyOrder: (credentials) => credentials?.parts !== undefined,
    namesObject: () => true,
    check(url, credentials) {
      const object = readObjectUrl(url)
      readTlsOptions(credentials)
      if (!isPresigned(credentials)) throw credentialsInvalid('kind', 'pre-signed URLs have the kind s3_presigned')
      if (object.key === '') throw credentialsInvalid('kind', 'export_to has to name the object that the URLs are for')
      for (const { url: signed } of signedUrls(readPresigned(credentials, object)))
        policy.checkHost(signed, { credentials: true, pointer: '/export_to_credentials' })
    },
    checks(target) {
      const presigned = presignedOf(target)
      return [
        ...tlsChecks(mainUrl(presigned), connectionsFor(target)),
        { id: 'dest.auth', run: async () => assertLive(presigned) },
        { id: 'dest.limits', run: async () => planFacts(planOfSigned(presigned, target)) }
      ]
    },
    find: async () => ({ status: 'unreadable' }),
    // biome-ignore lint/correctness/useYield: it has nothing to give
    async *read(target) {
      throw failure('onlyWrites', mainUrl(presignedOf(target)).host)
    },
    async remove(target) {
      throw failure('onlyWrites', mainUrl(presignedOf(target)).host)
    },
    async open(target) {
      const presigned = presignedOf(target)
      assertLive(presigned)
      const plan = planOfSigned(presigned, target)
      return presigned.form === 'put'
        ? new PresignedPut(usesFor(target), target, presigned.put)
        : new PresignedMultipart(usesFor(target), target, presigned, { partBytes: plan.partBytes, kept: [] })
    },
    /**
     * No URL can list the parts, so all are taken to stand there: the completing call compares their tags, and refuses the
     * upload for good when one differs.
     */
    async resume(target, state, sent) {
      const presigned = presignedOf(target)
      const partBytes = recordedPartBytes(state)
      if (presigned.form === 'put' || partBytes === undefined) return undefined
      assertLive(presigned)
      const kept = sent.filter(({ tag }) => tag !== undefined)
      return { upload: new PresignedMultipart(usesFor(target), target, presigned, { partBytes, kept }), kept }
    },
    async discard(target, state, signal) {
      const presigned = presignedOf(target)
      // Without a state nothing was sent, and the upload is the user's own.
      if (presigned.form === 'put' || state === null) return []
      return abortPresigned(usesFor(target), presigned, 0, signal)
    }
  }
}

function presignedOf({ url, credentials }: UploadTarget): Presigned {
  const given = credentials?.unwrap()
  if (!isPresigned(given)) throw credentialsInvalid('kind', 'pre-signed URLs have the kind s3_presigned')
  return readPresigned(given, readObjectUrl(url))
}

const mainUrl = (presigned: Presigned): URL => (presigned.form === 'put' ? presigned.put : presigned.complete).url

/** The plan that the number of signed parts allows. */
function planOfSigned(presigned: Presigned, target: UploadTarget): PartPlan {
  const { length } = target
  const { host } = mainUrl(presigned)
  if (presigned.form === 'put') {
    if (length > MAX_PUT_BYTES) throw failure('tooLarge', host)
    return { partBytes: length, parts: 1 }
  }
  const plan = planOf(length, presigned.partBytes ?? partBytes(length, presigned.parts.length))
  if (plan.parts > presigned.parts.length) throw failure('tooFewSignedParts', host)
  assertHoldable(target, Math.min(plan.partBytes, length), host)
  return plan
}

/** @returns how long all of the signatures are good */
function assertLive(presigned: Presigned): { valid_seconds: number } | undefined {
  const ends = signedUrls(presigned).flatMap(({ until }) => until?.getTime() ?? [])
  if (ends.length === 0) return undefined
  const validSeconds = Math.floor((Math.min(...ends) - Date.now()) / 1000)
  if (validSeconds <= 0) throw failure('credentialsExpired', mainUrl(presigned).host)
  return { valid_seconds: validSeconds }
}
