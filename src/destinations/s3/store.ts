import type { S3Client } from '@aws-sdk/client-s3'
import type { Secret } from '../../domain/secret.ts'
import type { Connections } from '../connection.ts'
import type { Credentials, SentPart, UploadTarget } from '../destination.ts'
import { readObject } from '../get.ts'
import { recordedPartBytes } from '../recorded-parts.ts'
import { readTlsOptions } from '../tls.ts'
import { beginUpload } from './begin.ts'
import { assertFits, storeChecks } from './checks.ts'
import { intentOf, unlessRefused, unrecorded } from './leftovers.ts'
import type { StoredPart } from './listings.ts'
import type { MultipartCalls } from './multipart.ts'
import { readObjectUrl } from './object.ts'
import { createConnectionsFor } from './own-connections.ts'
import { partBytes } from './parts.ts'
import type { S3Access, S3Uses } from './s3.ts'
import { PROOFS, unquoted } from './send-part.ts'
import { bucketEndpoint, readSettings } from './settings.ts'
import { removedUpload, S3Upload } from './upload.ts'

/** A store with keys to it. Objects are multipart uploads: nothing can be seen before they are complete. */
export function createStoreAccess(uses: S3Uses): S3Access {
  const connectionsFor = createConnectionsFor(uses.connections)
  const callsFor = createCalls(uses, connectionsFor)
  return {
    anyOrder: () => true,
    namesObject: () => false,
    check(url, credentials) {
      const { bucket } = readObjectUrl(url)
      const settings = readSettings(credentials, bucket)
      readTlsOptions(credentials)
      const judge = (endpoint: URL, field: string) =>
        uses.policy.checkHost(endpoint, { credentials: true, pointer: `/export_to_credentials/${field}` })
      judge(bucketEndpoint(settings, bucket), 'endpoint')
      if (settings.role !== undefined) judge(settings.role.endpoint, 'sts_endpoint')
    },
    checks: (target) => storeChecks(endpointOf(target), target, connectionsFor(target), () => callsFor(target)),
    async find(target, signal) {
      const { etag: _etag, tags: _tags, ...found } = await (await callsFor(target)).head(signal)
      return found
    },
    async *read(target, range, signal) {
      yield* readObject(await (await callsFor(target)).reading(signal), range)
    },
    remove: async (target, signal) => (await callsFor(target)).remove(signal),
    intend: async (target, signal) => intentOf(await callsFor(target), target, signal),
    async open(target, signal) {
      assertFits(endpointOf(target).host, target)
      const calls = await callsFor(target)
      const begun = await beginUpload(calls, target, signal)
      return new S3Upload(calls, target, { ...begun, partBytes: partBytes(target.length), kept: [] })
    },
    async resume(target, state, sent, signal) {
      const bytes = recordedPartBytes(state)
      const { uploadId } = state
      const proof = PROOFS.find((known) => known === state.proof)
      if (uploadId === undefined || bytes === undefined || proof === undefined) return undefined
      const calls = await callsFor(target)
      const stored = await calls.parts(uploadId, signal).catch(unlessRefused)
      if (stored === undefined) return undefined
      // Whoever came in between may have begun another, or a probe, and died before that was written down.
      const others = (await unrecorded(calls, target, null, signal)).filter((id) => id !== uploadId)
      for (const id of others) await calls.abort(id, signal)
      const kept = sent.filter((part) => isStored(part, stored.get(part.number)))
      return { upload: new S3Upload(calls, target, { uploadId, proof, partBytes: bytes, kept }), kept }
    },
    async discard(target, state, signal) {
      const calls = await callsFor(target)
      const recorded = state?.uploadId === undefined ? [] : [state.uploadId]
      let removed = 0
      for (const id of new Set([...recorded, ...(await unrecorded(calls, target, state, signal))])) {
        if (await calls.abort(id, signal)) removed += 1
      }
      if (removed === 0) return []
      return removed === 1 ? removedUpload(0) : [`${removed} multipart uploads`]
    }
  }
}

function isStored({ bytes, tag = '' }: SentPart, stored: StoredPart | undefined): boolean {
  return stored?.bytes === bytes && unquoted(stored.etag) === unquoted(tag)
}

const settingsOf = ({ url, credentials }: UploadTarget) => {
  const object = readObjectUrl(url)
  return { object, settings: readSettings(credentials?.unwrap(), object.bucket) }
}

function endpointOf(target: UploadTarget): URL {
  const { object, settings } = settingsOf(target)
  return bucketEndpoint(settings, object.bucket)
}

/**
 * Makes the calls about a target. The SDK takes 30 MiB of memory, so it is loaded by the first export that goes to S3. A
 * client lives as long as the credentials it was made for: it keeps the session of a role.
 */
function createCalls(
  { hashers }: S3Uses,
  connectionsFor: (target: UploadTarget) => Connections
): (target: UploadTarget) => Promise<MultipartCalls> {
  const clients = new WeakMap<Secret<Credentials>, S3Client>()
  return async (target) => {
    const [{ createS3Client }, { MultipartCalls }] = await Promise.all([
      import('./client.ts'),
      import('./multipart.ts')
    ])
    const { object, settings } = settingsOf(target)
    const connections = connectionsFor(target)
    const known = target.credentials && clients.get(target.credentials)
    const client = known ?? createS3Client(settings, connections, `glance-export-${target.marks.taskId}`)
    if (target.credentials) clients.set(target.credentials, client)
    const { host } = bucketEndpoint(settings, object.bucket)
    return new MultipartCalls({ connections, hashers, client, object, encryption: settings.encryption, host })
  }
}
