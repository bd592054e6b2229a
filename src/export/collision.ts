import type { Destination, Found, UploadTarget } from '../destinations/destination.ts'
import { failure } from '../destinations/failures.ts'
import type { IfExists } from '../domain/export-options.ts'
import type { FilePlan } from './file-plan.ts'
import { findManifest } from './manifest.ts'

/** What is to be done at the object's name. */
export type Placement =
  /** Nothing of anybody else's is in the way, or it may be replaced. `suffix` 0 is none. */
  | { readonly kind: 'write'; readonly suffix: number; readonly replace: boolean }
  /** The same bytes stand there already. */
  | { readonly kind: 'reuse'; readonly suffix: number; readonly bytes: number; readonly sha256: string | null }

/** More names than anybody tries by hand; every one costs a question to the destination. */
const MOST_SUFFIXES = 100

/**
 * Decides by the policy about what stands at the object's name now. The write itself fails later if something appears in the
 * meantime, where the destination can see to that.
 * @param targetAt the target with this suffix in its name
 * @param first the suffix an earlier attempt has chosen
 * @throws DestinationError DEST_OBJECT_EXISTS
 */
export async function placeObject(
  destination: Pick<Destination, 'find' | 'read'>,
  targetAt: (suffix: number) => UploadTarget,
  policy: IfExists,
  plan: Pick<FilePlan, 'minLength' | 'maxLength'>,
  signal: AbortSignal,
  first = 0
): Promise<Placement> {
  const mostTried = policy === 'suffix' ? MOST_SUFFIXES : first
  for (let suffix = first; suffix <= mostTried; suffix++) {
    const target = targetAt(suffix)
    const found = await destination.find(target, signal)
    if (found.status === 'absent') return { kind: 'write', suffix, replace: policy === 'replace' }
    if (found.status === 'unreadable') {
      // Nobody can tell what an earlier attempt has left there, but under a name of its own it was this task's.
      return { kind: 'write', suffix, replace: policy === 'replace' || hasOwnName(target) }
    }
    if (policy === 'replace' || isOurs(found, target)) return { kind: 'write', suffix, replace: true }
    const same = policy === 'reuse' ? await sameBytes(destination, target, found, plan, signal) : undefined
    if (same) return { kind: 'reuse', suffix, ...same }
  }
  throw failure('objectExists', targetAt(0).url.host || targetAt(0).url.protocol)
}

type Present = Extract<Found, { readonly status: 'present' }>

/** Written by an earlier attempt of this task: it says so, or has the new UUID in its name that only this task knows. */
export const isOurs = (found: Present, target: UploadTarget): boolean =>
  found.exportId === undefined ? hasOwnName(target) : found.exportId === target.marks.exportId

const hasOwnName = ({ url, marks }: UploadTarget): boolean => url.pathname.includes(marks.exportId)

/** What is known of an object with the bytes that this export would write; undefined for any other. */
async function sameBytes(
  destination: Pick<Destination, 'find' | 'read'>,
  target: UploadTarget,
  { length, contentId }: Present,
  plan: Pick<FilePlan, 'minLength' | 'maxLength'>,
  signal: AbortSignal
): Promise<{ readonly bytes: number; readonly sha256: string | null } | undefined> {
  if (contentId !== undefined && contentId !== target.marks.contentId) return undefined
  if (length === undefined || length < plan.minLength || length > plan.maxLength) return undefined
  const manifest = await findManifest(destination, target, signal)
  const told = manifest?.contentId === target.marks.contentId && manifest.bytes === length ? manifest : undefined
  if (contentId === undefined && !told) return undefined
  return { bytes: length, sha256: told?.sha256 ?? null }
}
