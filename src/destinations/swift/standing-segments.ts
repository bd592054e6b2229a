import type { SentPart, UploadTarget } from '../destination.ts'
import { bareEtag } from './headers.ts'
import type { SwiftObject } from './object.ts'
import { segmentPath } from './plan.ts'
import { forEachOf, listSegments, type SegmentPath } from './segments.ts'

/** Of segments one by one; what is beyond is sent again. */
const MOST_LOOKS = 1000

/** What an earlier attempt has left, and those of the recorded parts that still are what they were. */
export type Standing = { readonly segments: ReadonlySet<SegmentPath>; readonly kept: readonly SentPart[] }

/**
 * Compares the recorded parts with what the cluster has. A list of a container may be behind, so what it does not have is
 * looked for itself; so is every segment of an object with an expiry, as a list shows expired ones for a while.
 */
export async function standingSegments(
  { objects, place }: SwiftObject,
  { marks: { exportId }, object }: UploadTarget,
  sent: readonly SentPart[],
  signal: AbortSignal
): Promise<Standing> {
  const listed = await listSegments(objects, place, exportId, signal)
  const shown = new Map(listed.map((segment) => [segment.path, segment]))
  const kept = new Set<SentPart>()
  let looks = 0
  const look = async (path: SegmentPath) => {
    looks += 1
    if (looks > MOST_LOOKS) return undefined
    const found = await objects.find(path, signal)
    return found.status === 'present' ? { etag: bareEtag(found.etag), bytes: found.length } : undefined
  }
  await forEachOf(sent, async (part) => {
    const path = segmentPath(place, exportId, part.number)
    const segment = (object.delete_after_seconds === undefined ? shown.get(path) : undefined) ?? (await look(path))
    if (segment?.bytes === part.bytes && segment.etag === bareEtag(part.tag)) kept.add(part)
  })
  const paths = [...kept].map(({ number }) => segmentPath(place, exportId, number))
  return { segments: new Set([...shown.keys(), ...paths]), kept: sent.filter((part) => kept.has(part)) }
}
