import type { Range } from '../../../disks/disk.ts'
import { RangesBuilder } from '../../byte-ranges.ts'
import { Refused } from '../../refused.ts'
import type { Volume } from '../../volume.ts'
import type { FileSystemReader } from '../file-system.ts'
import { Remains } from '../remains.ts'
import { clearRuns, UnitSet } from '../unit-set.ts'
import { type BootSector, looksLikeFat, readBootSector } from './boot-sector.ts'
import { deletedIn, entriesIn, type FolderEntry } from './folder.ts'
import { Table } from './table.ts'

/** A page of the set of clusters in use. */
const PAGE_CLUSTERS = 32768

/** FAT12, FAT16 and FAT32. Unused is what no file needs, after this was found to be what the table says. */
export const fat: FileSystemReader = {
  name: 'fat',

  async matches(volume) {
    return volume.length >= 512 && looksLikeFat(await volume.read(0, 512))
  },

  async unused(volume) {
    const boot = await readBootSector(volume)
    const walk = new Walk(volume, boot, await Table.read(volume, boot))
    await walk.tree()
    const ranges = new RangesBuilder()
    for (const { offset, length } of walk.free()) {
      ranges.add(boot.dataStart + offset * boot.clusterBytes, length * boot.clusterBytes)
    }
    return { ranges: ranges.build(), remains: walk.remains.build(), length: boot.length }
  }
}

/** Follows every file from the root on. */
class Walk {
  /** Of deleted names, and behind the ends of files. */
  readonly remains = new Remains()
  readonly #volume: Volume
  readonly #boot: BootSector
  readonly #table: Table
  readonly #needed: UnitSet

  constructor(volume: Volume, boot: BootSector, table: Table) {
    this.#volume = volume
    this.#boot = boot
    this.#table = table
    this.#needed = new UnitSet(boot.clusters, PAGE_CLUSTERS)
  }

  /** Ends, since each folder takes clusters that no other may take. Throws Refused. */
  async tree(): Promise<void> {
    const { bits, rootStart, rootBytes, rootCluster } = this.#boot
    const folders: number[] = []
    if (bits === 32) folders.push(rootCluster)
    else {
      const bytes = await this.#volume.read(rootStart, rootBytes)
      for (const { offset, length } of deletedIn(bytes)) this.remains.add(rootStart + offset, length)
      for (const entry of entriesIn(bytes, bits)) this.#take(entry, folders)
    }
    for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
      let ended = false
      for (const cluster of this.#chain(folder)) {
        const place = this.#place(cluster)
        if (ended) {
          this.remains.add(place, this.#boot.clusterBytes)
          continue
        }
        const bytes = await this.#volume.read(place, this.#boot.clusterBytes)
        for (const { offset, length } of deletedIn(bytes)) this.remains.add(place + offset, length)
        for (const entry of entriesIn(bytes, bits)) {
          if (entry.kind === 'end') ended = true
          else this.#take(entry, folders)
        }
      }
    }
  }

  /** Runs of clusters, counted from 0, that are free in the table too; bad ones stay as they are. Throws Refused where the table says otherwise. */
  *free(): Generator<Range, void> {
    for (let cluster = 2; cluster < this.#boot.clusters + 2; cluster += 1) {
      if (this.#table.next(cluster) === 'bad') this.#needed.add(cluster - 2, 1)
    }
    for (let page = 0; page * PAGE_CLUSTERS < this.#boot.clusters; page += 1) {
      const first = page * PAGE_CLUSTERS
      const count = Math.min(PAGE_CLUSTERS, this.#boot.clusters - first)
      for (const { offset, length } of clearRuns(this.#needed.page(page), count)) {
        for (let at = first + offset; at < first + offset + length; at += 1) {
          if (this.#table.next(at + 2) !== 'free') {
            throw new Refused('blocks-unreferenced', 'clusters are marked as used that nothing refers to')
          }
        }
        yield { offset: first + offset, length }
      }
    }
  }

  #take(entry: FolderEntry, folders: number[]): void {
    if (entry.kind === 'folder') folders.push(entry.cluster)
    if (entry.kind !== 'file') return
    let clusters = 0
    if (entry.cluster !== 0) {
      for (const cluster of this.#chain(entry.cluster)) {
        const used = Math.min(Math.max(0, entry.bytes - clusters * this.#boot.clusterBytes), this.#boot.clusterBytes)
        this.remains.add(this.#place(cluster) + used, this.#boot.clusterBytes - used)
        clusters += 1
      }
    }
    if (clusters * this.#boot.clusterBytes < entry.bytes) {
      throw new Refused('chain-short', 'a file has fewer clusters than its size needs')
    }
  }

  /** The clusters of a file or folder, each claimed for it. */
  *#chain(first: number): Generator<number, void> {
    for (let cluster = first; ; ) {
      if (cluster < 2 || cluster >= this.#boot.clusters + 2) {
        throw new Refused('block-outside', 'it names a cluster outside itself')
      }
      if (!this.#needed.add(cluster - 2, 1)) throw new Refused('block-shared', 'a cluster of it has two owners')
      const next = this.#table.next(cluster)
      if (next === 'free') throw new Refused('bitmap-lies', 'a cluster that is in use is marked as free')
      if (next === 'bad') throw new Refused('bad-cluster', 'a file lies in a cluster that is marked as bad')
      yield cluster
      if (next === 'end') return
      cluster = next
    }
  }

  #place(cluster: number): number {
    return this.#boot.dataStart + (cluster - 2) * this.#boot.clusterBytes
  }
}
