import { ImageUnsafe } from '../../domain/errors.ts'
import { lowerBound } from './lower-bound.ts'
import type { Table } from './table.ts'

/** The host clusters that hold metadata. No two structures share one, and no guest data may lie in one. */
export class MetadataClusters {
  /** Numbers of clusters, rising. 8 bytes for each, and each is a cluster of the file. */
  readonly #clusters: Float64Array

  private constructor(clusters: Float64Array) {
    this.#clusters = clusters
  }

  /** Throws ImageUnsafe when two of the structures overlap; the header takes cluster 0. */
  static of(clusterBytes: number, tables: readonly Table[], ...single: readonly Float64Array[]): MetadataClusters {
    const spans = tables.map(({ offset, bytes }) => ({
      first: offset / clusterBytes,
      count: Math.ceil(bytes / clusterBytes)
    }))
    const total =
      1 + spans.reduce((sum, { count }) => sum + count, 0) + single.reduce((sum, { length }) => sum + length, 0)
    const clusters = new Float64Array(total)
    let next = 1
    for (const { first, count } of spans) for (let i = 0; i < count; i += 1) clusters[next++] = first + i
    for (const offsets of single) for (const offset of offsets) clusters[next++] = offset / clusterBytes
    clusters.sort()
    if (clusters.some((cluster, i) => i > 0 && cluster === clusters[i - 1])) {
      throw new ImageUnsafe('metadata_overlap', 'two of its tables lie in the same place')
    }
    return new MetadataClusters(clusters)
  }

  /** True when one of the clusters [first, first + count) holds metadata. */
  meets(first: number, count: number): boolean {
    return (this.#clusters[lowerBound(this.#clusters, first)] ?? Infinity) < first + count
  }

  [Symbol.iterator](): Iterator<number> {
    return this.#clusters.values()
  }
}
