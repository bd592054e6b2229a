import { DestinationError } from '../../domain/destination-errors.ts'
import type { UploadState, UploadTarget } from '../destination.ts'
import { hasOwnName } from '../own-name.ts'
import { PROBE_BYTES } from './begin.ts'
import type { StoredUpload } from './listings.ts'
import type { MultipartCalls } from './multipart.ts'

/** Where more than that are under way to one key, nothing is concluded. */
const MOST_OTHERS = 100
/** How far two clocks may be apart, and how long the call may take that begins an upload. */
const CLOCKS_MS = 5 * 60_000
const CALL_MS = 60_000

/**
 * What tells an upload that is begun now from those of others, under a key that anybody may have chosen: the uploads that are
 * there before, and the time. A list does not say what an upload was begun with, so it has to be concluded.
 * @returns undefined where that is not needed, or cannot be known
 */
export async function intentOf(
  calls: MultipartCalls,
  target: UploadTarget,
  signal: AbortSignal
): Promise<UploadState | undefined> {
  if (hasOwnName(target)) return undefined
  const others = await calls.uploads(signal).catch(unlessRefused)
  if (others === undefined || others.length > MOST_OTHERS) return undefined
  return { others: JSON.stringify(others.map(({ id }) => id)), since: new Date().toISOString() }
}

/** Ids of uploads of this export that nobody knows any more. */
export async function unrecorded(
  calls: MultipartCalls,
  target: UploadTarget,
  state: UploadState | null,
  signal: AbortSignal
): Promise<readonly string[]> {
  const intended = state?.others !== undefined && state.since !== undefined
  if (!hasOwnName(target) && !intended) return []
  const all = (await calls.uploads(signal).catch(unlessRefused)) ?? []
  if (hasOwnName(target)) return all.map(({ id }) => id)
  const [candidate, ...further] = begunSince(all, state)
  // Of two that may be ours at least one is somebody else's.
  if (candidate === undefined || further.length > 0) return []
  const unused = await isUnused(calls, candidate, signal).catch(unlessRefused)
  const isOurs = unused && (await isOfThisLogin(calls, target, candidate, signal).catch(unlessRefused))
  return isOurs ? [candidate.id] : []
}

/** Those that were not there before the intent, and were begun within the time that its worker had for it. */
function begunSince(all: readonly StoredUpload[], state: UploadState | null): readonly StoredUpload[] {
  const others: readonly unknown[] = JSON.parse(state?.others ?? '[]')
  const since = Date.parse(state?.since ?? '')
  return all.filter(
    ({ id, begunAt }) =>
      !others.includes(id) && begunAt.getTime() >= since - CLOCKS_MS && begunAt.getTime() <= since + CALL_MS + CLOCKS_MS
  )
}

/** No part of the file is sent before the upload is written down; whoever else begins one sends its first part at once. */
async function isUnused(calls: MultipartCalls, { id }: StoredUpload, signal: AbortSignal): Promise<boolean> {
  const parts = await calls.parts(id, signal)
  return parts !== undefined && [...parts].every(([number, { bytes }]) => number === 1 && bytes === PROBE_BYTES)
}

/** Begun with the same credentials: what the list says of an upload that they begin now tells by whom that is. */
async function isOfThisLogin(
  calls: MultipartCalls,
  target: UploadTarget,
  { initiator }: StoredUpload,
  signal: AbortSignal
): Promise<boolean> {
  const { uploadId } = await calls.create(target, signal)
  try {
    const own = (await calls.uploads(signal)).find(({ id }) => id === uploadId)
    return own?.initiator !== undefined && own.initiator === initiator
  } finally {
    await calls.abort(uploadId, signal)
  }
}

/** The right to list is another than the right to write. */
export function unlessRefused(error: unknown): undefined {
  if (!(error instanceof DestinationError) || !error.permanent) throw error
}
