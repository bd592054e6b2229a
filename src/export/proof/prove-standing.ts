import { failure } from '../../destinations/failures.ts'
import { hasOwnName } from '../../destinations/own-name.ts'
import { isPermanent } from '../../domain/errors.ts'
import { VerifyFailed } from '../../domain/export-errors.ts'
import type { Sidecar, VerifyLevel } from '../../domain/export-options.ts'
import type { ExportResult, SentFile, Task } from '../../domain/task.ts'
import type { Transferred } from '../../pipeline/wants.ts'
import type { Attempt } from '../attempt/attempt.ts'
import { mayGoOn } from '../attempt/earlier-attempts.ts'
import type { ExportJob } from '../attempt/export-job.ts'
import { planFile } from '../attempt/file-plan.ts'
import { openSource, type SourceUses } from '../attempt/open-source.ts'
import { type SendUses, wantsOf } from '../attempt/send-file.ts'
import { isOurs, type Placement, placeName } from '../checks/collision.ts'
import { NO_FILE, uploadTarget } from '../upload-target.ts'
import { makeAgain } from './make-again.ts'
import { type Proof, proveHere, takingBack } from './prove.ts'

/**
 * Proves an object that was there already, as if it had been sent: by what its manifest says of it where nothing is to be read
 * back, otherwise against the bytes that this export would send. Digests that were asked for and that nobody has written down
 * are those of the object, read whole.
 * @throws DestinationError DEST_OBJECT_EXISTS for an object with other bytes; it stays as it is
 */
export async function proveReused(
  uses: SendUses,
  attempt: Attempt,
  job: ExportJob,
  { suffix, bytes, told }: Extract<Placement, { kind: 'reuse' }>,
  source: Proof
): Promise<Omit<ExportResult, 'durationSeconds'>> {
  attempt.enter('verifying')
  const { task } = job.claim
  const { verify } = task.request.options
  const target = uploadTarget(job.where, { suffix, replace: false }, { ...NO_FILE, length: bytes })
  const known = told && asAsked(told, task)
  const trusted = known && (verify === 'none' || verify === 'etag') ? known : undefined
  try {
    const { sample, ...sent }: Transferred = trusted ?? (await makeAgain(uses, attempt, job, source.disk))
    if (sent.bytes !== bytes) throw new VerifyFailed(`has ${bytes} bytes where ${sent.bytes} were expected`)
    const level = known || verify !== 'etag' || wantsOf(task).digests.length === 0 ? verify : 'full'
    const standing = { target, sent, ...(sample && { sample }), location: target.url.href, level }
    return { ...(await proveHere(uses, attempt, job.destination, standing, source)), reused: true }
  } catch (error) {
    if (!(error instanceof VerifyFailed)) throw error
    throw failure('objectDiffers', placeName(target.url), { cause: error })
  }
}

/** What a manifest tells of the file, no more than was asked for; undefined where that is not all of it. */
function asAsked(told: SentFile, task: Task): SentFile | undefined {
  const { digests, contentHash } = wantsOf(task)
  const { checksums = {}, ...others } = told
  const wanted = digests.filter((name) => name !== 'sha256')
  if (told.sha256 === null && (digests.length > 0 || told.composite === null)) return undefined
  if (!wanted.every((name) => checksums[name] !== undefined)) return undefined
  if (contentHash && !told.contentHash) return undefined
  return { ...others, checksums: Object.fromEntries(wanted.map((name) => [name, checksums[name]])) }
}

/**
 * Takes what an earlier attempt has left complete at the object's name where nothing tells whose it is: a web server shows a
 * file when it has all of it, and the worker may have died before it heard so. The bytes are read back, so that the object of
 * somebody else is never taken for it.
 * @returns undefined when there is none; then it is to be sent again
 */
export async function takeStanding(
  uses: SendUses & SourceUses,
  attempt: Attempt,
  job: ExportJob,
  { scrubbed, ...about }: Omit<Proof, 'disk' | 'layout'> & { readonly scrubbed: boolean }
): Promise<Omit<ExportResult, 'durationSeconds'> | undefined> {
  const { claim, where, destination, format } = job
  const { signal } = attempt
  const level = readingLevel(claim.task.request.options.verify)
  const wasBegun = claim.sent !== null || (claim.uploadState !== null && !mayGoOn(job))
  if (!wasBegun || claim.spent || level === undefined) return undefined
  const place = { suffix: claim.suffix, replace: true }
  const named = uploadTarget(where, place, NO_FILE)
  if (claim.sent && hasOwnName(named)) return undefined // then it is known already, see committedBefore
  const found = await destination.find(named, signal)
  if (found.status !== 'present' || found.length === undefined) return undefined
  const { length } = found
  const target = { ...named, length }
  if (found.exportId !== undefined && !isOurs(found, target)) return undefined
  if (claim.sent ? claim.sent.bytes !== length : scrubbed) return undefined // the scrubbed disk is not made twice

  await using disk = await openSource(uses, claim.task.request.imageId, claim.source, signal)
  const { layout, minLength, maxLength } = await planFile(disk, format)
  if (!scrubbed && (length < minLength || length > maxLength)) return undefined
  attempt.enter('verifying')
  const written = new Set<Sidecar>()
  try {
    const { sample, ...sent }: Transferred = claim.sent ?? (await makeAgain(uses, attempt, job, disk))
    const standing = { target, sent, ...(sample && { sample }), location: target.url.href, level }
    const source = { disk, layout: scrubbed ? undefined : layout, ...about }
    const result = await proveHere(uses, attempt, destination, standing, source, written)
    attempt.takeBack = takingBack(destination, target, written)
    return result
  } catch (error) {
    // They are written when it is proved to be this task's.
    if (written.size > 0) attempt.takeBack = takingBack(destination, target, written)
    const isOther = error instanceof VerifyFailed || isPermanent(error)
    if (!isOther) throw error
    uses.log.info(
      { taskId: claim.task.id, err: error },
      'what stands at the object name is not taken for the exported file'
    )
    return undefined
  }
}

const readingLevel = (asked: VerifyLevel): VerifyLevel | undefined =>
  asked === 'none' ? undefined : asked === 'etag' ? 'ranges' : asked
