import type { Destination, Found, UploadTarget } from '../../destinations/destination.ts'
import { failure } from '../../destinations/failures.ts'
import { FILE_STORE } from '../../destinations/file/failures.ts'
import { hasOwnName } from '../../destinations/own-name.ts'
import type { IfExists, Sidecar } from '../../domain/export-options.ts'
import type { SentFile } from '../../domain/task.ts'
import type { FilePlan } from '../attempt/file-plan.ts'
import { findManifest } from '../proof/manifest.ts'
import { SIDECAR_ENDINGS } from '../proof/sidecar-text.ts'
import { besideIt } from '../requests/key-template.ts'

/** What is to be done at the object's name. */
export type Placement =
  /**
   * Nothing of anybody else's is in the way, or it may be replaced. `suffix` 0 is none. `unseen`: nobody may look there with
   * these credentials.
   */
  | { readonly kind: 'write'; readonly suffix: number; readonly replace: boolean; readonly unseen?: true }
  /** An object stands there that says of itself that it has the same bytes, and what else its manifest tells. */
  | { readonly kind: 'reuse'; readonly suffix: number; readonly bytes: number; readonly told: SentFile | undefined }

type Looking = Pick<Destination, 'find' | 'read'>

/** What is asked of a name before it is written. */
export type NameRules = {
  readonly policy: IfExists
  /** To be written beside the object; they have to be free too. */
  readonly sidecars: readonly Sidecar[]
  /** Of the file. */
  readonly plan: Pick<FilePlan, 'minLength' | 'maxLength'>
}

/** More names than anybody tries by hand; every one costs a question to the destination. */
const MOST_SUFFIXES = 100

/**
 * Decides by the policy about what stands at the object's name now. The write itself fails later if something appears in the
 * meantime, where the destination can see to that.
 * @param targetAt the target with this suffix in its name
 * @param first the suffix to begin with
 * @throws DestinationError DEST_OBJECT_EXISTS
 */
export async function placeObject(
  destination: Looking,
  targetAt: (suffix: number) => UploadTarget,
  rules: NameRules,
  signal: AbortSignal,
  first = 0
): Promise<Placement> {
  const mostTried = rules.policy === 'suffix' ? Math.max(MOST_SUFFIXES, first) : first
  let inTheWay: 'objectExists' | 'sidecarExists' = 'objectExists'
  for (let suffix = first; suffix <= mostTried; suffix++) {
    const target = targetAt(suffix)
    const found = await destination.find(target, signal)
    const placement = await placementFor(destination, target, suffix, found, rules, signal)
    if (placement?.kind === 'reuse') return placement
    const free = placement && (await sidecarsAreFree(destination, target, found, rules, signal))
    if (placement && free) return placement
    inTheWay = placement ? 'sidecarExists' : 'objectExists'
  }
  const { url } = targetAt(0)
  throw failure(inTheWay, placeName(url))
}

/** How messages call the place of an object. */
export const placeName = (url: URL): string => (url.protocol === 'file:' ? FILE_STORE : url.host)

type Present = Extract<Found, { readonly status: 'present' }>

/** Written by an earlier attempt of this task: it says so, or has the new UUID in its name that only this task knows. */
export const isOurs = (found: Present, target: UploadTarget): boolean =>
  found.exportId === undefined ? hasOwnName(target) : found.exportId === target.marks.exportId

/** Undefined where somebody else's object is in the way. */
async function placementFor(
  destination: Looking,
  target: UploadTarget,
  suffix: number,
  found: Found,
  { policy, plan }: NameRules,
  signal: AbortSignal
): Promise<Placement | undefined> {
  if (found.status === 'absent') return { kind: 'write', suffix, replace: policy === 'replace' }
  if (found.status === 'unreadable') {
    // Nobody can tell what an earlier attempt has left there, but under a name of its own it was this task's.
    return { kind: 'write', suffix, replace: policy === 'replace' || hasOwnName(target), unseen: true }
  }
  if (policy === 'replace' || isOurs(found, target)) return { kind: 'write', suffix, replace: true }
  const same = policy === 'reuse' ? await sameBytes(destination, target, found, plan, signal) : undefined
  return same && { kind: 'reuse', suffix, ...same }
}

/** What is known of an object with the bytes that this export would write; undefined for any other. */
async function sameBytes(
  destination: Looking,
  target: UploadTarget,
  { length, contentId }: Present,
  plan: NameRules['plan'],
  signal: AbortSignal
): Promise<{ readonly bytes: number; readonly told: SentFile | undefined } | undefined> {
  if (contentId !== undefined && contentId !== target.marks.contentId) return undefined
  if (length === undefined || length < plan.minLength || length > plan.maxLength) return undefined
  const manifest = await findManifest(destination, target, signal)
  const told = manifest?.contentId === target.marks.contentId && manifest.file.bytes === length ? manifest : undefined
  if (contentId === undefined && !told) return undefined
  return { bytes: length, told: told?.file }
}

/** Nobody else's small objects stand where this task's are to be written. */
async function sidecarsAreFree(
  destination: Looking,
  target: UploadTarget,
  found: Found,
  { policy, sidecars }: NameRules,
  signal: AbortSignal
): Promise<boolean> {
  if (policy === 'replace' || hasOwnName(target)) return true
  if (found.status === 'present') return true // ours, and what stands beside it most likely too: seen when it is written
  for (const sidecar of sidecars) {
    const beside = { ...target, url: besideIt(target.url, SIDECAR_ENDINGS[sidecar]) }
    const small = await destination.find(beside, signal)
    if (small.status === 'present' && !isOurs(small, beside)) return false
  }
  return true
}
