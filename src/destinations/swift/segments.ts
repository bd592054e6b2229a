import { MiB } from '../../domain/bytes.ts'
import { failure } from '../failures.ts'
import { swiftFailure } from './failures.ts'
import { bareEtag } from './headers.ts'
import { MOST_SEGMENTS } from './info.ts'
import { type Objects, readDeletions } from './objects.ts'
import { type Place, pathOf, segmentsContainer } from './place.ts'
import { isSegmentName, segmentPrefix } from './plan.ts'
import { jsonIn, textOf } from './text.ts'

/** Small requests under way at once. */
const LANES = 4
/** With names of 1024 bytes, each as \\uXXXX, below MAX_LISTING_BYTES: what is larger is slow to read as JSON. */
const PAGE_SEGMENTS = 250
const MAX_LISTING_BYTES = 2 * MiB
/** 5,000 segments with names as ours; clusters allow 1000 unless told otherwise. */
const MAX_MANIFEST_BYTES = 2 * MiB
/** Each that could not be removed takes up to 4 KiB of the answer. */
const BULK_SEGMENTS = 200
/** An MD5 in hex, and what large objects have. */
const MAX_HASH_LENGTH = 128

/** A path below the account: `/container/object`, percent-encoded. */
export type SegmentPath = string

/** A segment as its container lists it; a list may be some seconds behind. */
export type ListedSegment = { readonly path: SegmentPath; readonly etag: string; readonly bytes: number }

/**
 * Makes the container for the segments if there is none, with the storage policy of the object's own container.
 * @throws DestinationError also when the object's own container does not exist
 */
export async function ensureSegmentsContainer(objects: Objects, place: Place, signal: AbortSignal): Promise<void> {
  const { account } = objects
  const own = await objects.container(place.container, signal)
  // Rights may be to write only: then the first segment tells.
  if (own.status >= 300 && own.status !== 403) throw swiftFailure(await account.host(signal), own)
  const name = segmentsContainer(place.container)
  if ((await objects.container(name, signal)).status !== 404) return
  const policy = own.headers['x-storage-policy']
  const headers = typeof policy === 'string' ? { 'x-storage-policy': policy } : {}
  const made = await account.send({ method: 'PUT', path: pathOf(name), headers }, signal)
  if (made.status >= 300) throw swiftFailure(await account.host(signal), made)
}

/** The segments of an export. @throws DestinationError also for a list that breaks off or does not end */
export async function listSegments(
  objects: Objects,
  place: Place,
  exportId: string,
  signal: AbortSignal
): Promise<ListedSegment[]> {
  const container = segmentsContainer(place.container)
  const prefix = segmentPrefix(place, exportId)
  const found: ListedSegment[] = []
  for (let marker = '', seen = 0; ; ) {
    const query = { prefix, format: 'json', limit: String(PAGE_SEGMENTS), ...(marker !== '' && { marker }) }
    using answer = await objects.account.get({ path: pathOf(container), query }, signal)
    if (answer.status === 404 || answer.status === 204) return found
    if (answer.status !== 200) throw swiftFailure(await objects.account.host(signal), { ...answer, body: '' })
    const page = entriesIn(await textOf(answer.body, MAX_LISTING_BYTES), PAGE_SEGMENTS)
    if (page?.length === 0) return found
    const last = page?.at(-1)?.name ?? ''
    seen += page?.length ?? 0
    const goesOn = Buffer.compare(Buffer.from(last), Buffer.from(marker)) > 0
    if (page === undefined || !goesOn || seen > MOST_SEGMENTS) {
      throw failure('endlessList', await objects.account.host(signal))
    }
    for (const { name = '', hash = '', bytes = Number.NaN } of page) {
      if (isSegmentName(name, prefix)) found.push({ path: pathOf(container, name), etag: bareEtag(hash), bytes })
    }
    marker = last
  }
}

type Entry = { readonly name?: string; readonly hash?: string; readonly bytes?: number }

/** What a list of objects or a manifest says in JSON; undefined for anything else, and for more than `most`. */
function entriesIn(text: string | undefined, most: number): readonly Entry[] | undefined {
  const list: unknown = jsonIn(text ?? '')
  return Array.isArray(list) && list.length <= most ? list.map(entryOf) : undefined
}

function entryOf(value: unknown): Entry {
  const { name, hash, bytes } = Object(value) as Readonly<Record<string, unknown>>
  return {
    ...(typeof name === 'string' && { name }),
    ...(typeof hash === 'string' && hash.length <= MAX_HASH_LENGTH && { hash }),
    ...(typeof bytes === 'number' && { bytes })
  }
}

/** The segments of the large object that stands at `path`; undefined when they cannot be read, or are more than are read. */
export async function segmentsOf(
  objects: Objects,
  path: string,
  signal: AbortSignal
): Promise<SegmentPath[] | undefined> {
  const query = { 'multipart-manifest': 'get', format: 'json' }
  using answer = await objects.account.get({ path, query }, signal)
  if (answer.status === 404) return []
  if (answer.status !== 200) return undefined
  const entries = entriesIn(await textOf(answer.body, MAX_MANIFEST_BYTES), MOST_SEGMENTS)
  if (entries === undefined || entries.length === 0) return undefined
  // Entries without a name hold their bytes themselves.
  return entries.flatMap(({ name }) => (name === undefined ? [] : [fromName(name)]))
}

const fromName = (name: string): SegmentPath => {
  const [container = '', ...object] = name.replace(/^\//, '').split('/')
  return pathOf(container, object.join('/'))
}

/**
 * Removes segments, many at once where the cluster can do that.
 * @returns how many there were
 * @throws DestinationError when any is left
 */
export async function removeSegments(
  objects: Objects,
  paths: readonly SegmentPath[],
  signal: AbortSignal
): Promise<number> {
  if (paths.length === 0) return 0
  const { bulkDeletes } = await objects.account.limits(signal)
  const inBulk = bulkDeletes > 0 && paths.length > 1
  let { removed, left } = inBulk ? await removeInBulk(objects, paths, bulkDeletes, signal) : { removed: 0, left: paths }
  await forEachOf(left, async (path) => {
    if (await objects.delete(path, signal)) removed += 1
  })
  return removed
}

type Bulk = { readonly removed: number; readonly left: readonly SegmentPath[] }

/** Leaves those of which Swift did not say what became of them, and all where it is not offered after all. */
async function removeInBulk(
  objects: Objects,
  paths: readonly SegmentPath[],
  atOnce: number,
  signal: AbortSignal
): Promise<Bulk> {
  let removed = 0
  const step = Math.min(atOnce, BULK_SEGMENTS)
  for (let at = 0; at < paths.length; at += step) {
    const bytes = Buffer.from(paths.slice(at, at + step).join('\n'))
    const headers = { 'content-type': 'text/plain', accept: 'application/json' }
    const answer = await objects.account.send(
      { method: 'POST', path: '', query: { 'bulk-delete': 'true' }, headers, bytes, isLong: true },
      signal
    )
    const gone = answer.status === 200 ? readDeletions(answer.body, await objects.account.host(signal)) : undefined
    if (gone === undefined) return { removed, left: paths.slice(at) }
    removed += gone
  }
  return { removed, left: [] }
}

/** Several at once; ends with the first failure, when nothing is under way any more. */
export async function forEachOf<T>(items: Iterable<T>, act: (item: T) => Promise<void>): Promise<void> {
  const iterator = items[Symbol.iterator]()
  let failed: { readonly error: unknown } | undefined
  const lane = async () => {
    for (let next = iterator.next(); !next.done && !failed; next = iterator.next()) {
      await act(next.value).catch((error: unknown) => {
        failed ??= { error }
      })
    }
  }
  await Promise.all(Array.from({ length: LANES }, lane))
  if (failed) throw failed.error
}
