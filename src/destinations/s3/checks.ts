import { DestinationError } from '../../domain/destination-errors.ts'
import type { Connections } from '../connection.ts'
import type { DestinationCheck, UploadTarget } from '../destination.ts'
import { failure, orElse } from '../failures.ts'
import { assertHoldable } from '../held-parts.ts'
import { beginUpload, patient } from './begin.ts'
import type { MultipartCalls } from './multipart.ts'
import { wrongOption } from './object-options.ts'
import { MAX_OBJECT_BYTES, type PartPlan, planOf } from './parts.ts'

/** Whether the certificate is good. */
export function tlsChecks(url: URL, connections: Connections): readonly DestinationCheck[] {
  if (url.protocol !== 'https:') return []
  const run = async (signal: AbortSignal) => {
    const agreed = await connections.handshake(url, true, signal)
    return agreed && { version: agreed.version, certificate_expires_at: agreed.certificateExpiresAt.toISOString() }
  }
  return [{ id: 'dest.tls', run }]
}

/** The plan as facts for the user. */
export const planFacts = ({ partBytes, parts }: PartPlan) => ({ part_bytes: partBytes, parts })

/** What can be asked with keys. */
export function storeChecks(
  endpoint: URL,
  target: UploadTarget,
  connections: Connections,
  callsFor: () => Promise<MultipartCalls>
): readonly DestinationCheck[] {
  const askBucket = async (signal: AbortSignal, ...fine: readonly DestinationError['code'][]) => {
    await (await callsFor()).askBucket(signal).catch((error: unknown) => {
      if (!(error instanceof DestinationError && fine.includes(error.code))) throw error
    })
    return undefined
  }
  const checks: readonly DestinationCheck[] = [
    ...tlsChecks(endpoint, connections),
    // Keys that are good may still not list: what they may write, the probe finds out.
    { id: 'dest.auth', run: (signal) => askBucket(signal, 'DEST_FORBIDDEN', 'DEST_CONTAINER_NOT_FOUND') },
    { id: 'dest.container', run: (signal) => askBucket(signal, 'DEST_FORBIDDEN') },
    { id: 'dest.limits', run: async () => limits(endpoint.host, target) },
    {
      id: 'dest.write_probe',
      run: async (signal) => {
        const calls = await callsFor()
        const { uploadId, proof } = await beginUpload(calls, target, signal)
        await calls.abort(uploadId, patient(signal))
        return proof === 'none' ? { integrity: 'read back whole: nothing else shows which bytes arrive' } : undefined
      }
    }
  ]
  return isAws(endpoint) ? checks.map(withEndpoint) : checks
}

const isAws = ({ hostname }: URL): boolean => /\.amazonaws\.com(?:\.cn)?$/.test(hostname)

/** What may mean that the bucket is another store's, and nobody said which. */
const OF_ANOTHER_STORE: readonly DestinationError['code'][] = [
  'DEST_AUTH_FAILED',
  'DEST_CONTAINER_NOT_FOUND',
  'DEST_DNS_FAILED',
  'DEST_FORBIDDEN',
  'DEST_UNREACHABLE'
]

const withEndpoint = ({ id, run }: DestinationCheck): DestinationCheck => ({
  id,
  run: (signal) =>
    run(signal).catch((error: unknown) => {
      if (!(error instanceof DestinationError && OF_ANOTHER_STORE.includes(error.code))) throw error
      throw orElse(error, 'name your own store as endpoint in export_to_credentials')
    })
})

/** How the object is cut, if it and its options fit. */
function limits(host: string, target: UploadTarget) {
  assertFits(host, target)
  return { ...planFacts(planOf(target.length)), largest_object_bytes: MAX_OBJECT_BYTES }
}

/** @throws DestinationError when S3 would refuse the size or the options of the object */
export function assertFits(host: string, target: UploadTarget): void {
  if (target.length > MAX_OBJECT_BYTES) throw failure('tooLarge', host)
  assertHoldable(target, planOf(target.length).partBytes, host)
  const wrong = wrongOption(target)
  if (wrong !== undefined) throw failure(wrong.situation, host, { it: wrong.it })
}
