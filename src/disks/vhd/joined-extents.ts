import type { Extent } from '../disk.ts'

/** The same disk in as few extents as can be: neighbours that are both data, or both zero, become one. */
export async function* joinedExtents(extents: Iterable<Extent> | AsyncIterable<Extent>): AsyncGenerator<Extent> {
  let joined: Extent | undefined
  for await (const extent of extents) {
    if (joined?.data === extent.data) joined = { ...joined, length: joined.length + extent.length }
    else {
      if (joined) yield joined
      joined = extent
    }
  }
  if (joined) yield joined
}
