import { Groups } from '../filesystems/ext/groups.ts'
import { type Inode, inodeOf, isIntact, withChecksum } from '../filesystems/ext/inode.ts'
import { readSuperblock, type Superblock } from '../filesystems/ext/superblock.ts'
import { isZero } from '../is-zero.ts'
import type { OverlayDisk } from '../overlay-disk.ts'
import { Refused } from '../refused.ts'
import type { Volume } from '../volume.ts'
import { entriesIn, type FolderEntry } from './folder-block.ts'
import { type BlockRun, inodePlace, runsOf } from './inode-reader.ts'
import type { MetadataImage } from './metadata-image.ts'

export const ROOT_INODE = 2
const MAX_ENTRIES = 200_000
/** Of all folders that are listed in one edit. */
const MAX_ENTRIES_READ = 2_000_000
const BLOCKS_KEPT = 1024
const BLOCKS_UNWRITTEN = 256
const FOLDERS_KEPT = 64

/** An inode, and its own bytes. */
export type StoredInode = Inode & { readonly bytes: Buffer }

/** An ext file system at rest, read and changed on the overlay; what is changed goes into its metadata image as well. */
export class ExtVolume {
  readonly sb: Superblock
  readonly groups: Groups
  readonly volume: Volume
  readonly #disk: OverlayDisk
  readonly #image: MetadataImage
  readonly #blocks = new Map<number, Buffer>()
  /** Of inode tables; whoever reads them asks `block`. */
  readonly #unwritten = new Map<number, Buffer>()
  readonly #folders = new Map<number, Map<string, FolderEntry>>()
  #entriesRead = 0

  private constructor(sb: Superblock, groups: Groups, volume: Volume, disk: OverlayDisk, image: MetadataImage) {
    this.sb = sb
    this.groups = groups
    this.volume = volume
    this.#disk = disk
    this.#image = image
  }

  /**
   * @param volume sees the disk as it is now
   * Throws Refused.
   */
  static async open(volume: Volume, disk: OverlayDisk, image: MetadataImage): Promise<ExtVolume> {
    const sb = await readSuperblock(volume)
    return new ExtVolume(sb, await Groups.read(volume, sb), volume, disk, image)
  }

  /** A copy. */
  async block(number: number): Promise<Buffer> {
    const known = this.#unwritten.get(number) ?? this.#blocks.get(number)
    if (known) return Buffer.from(known)
    const bytes = await this.volume.read(number * this.sb.blockBytes, this.sb.blockBytes)
    this.#keep(this.#blocks, BLOCKS_KEPT, number, bytes)
    return Buffer.from(bytes)
  }

  async putBlock(number: number, bytes: Buffer): Promise<void> {
    this.#blocks.delete(number)
    this.#unwritten.delete(number)
    await this.#write(number, bytes)
  }

  /** Writes what is still in memory. */
  async flush(): Promise<void> {
    const numbers = [...this.#unwritten.keys()].sort((a, b) => a - b)
    let run: number[] = []
    for (const number of [...numbers, Number.NaN]) {
      if (run.length > 0 && number !== (run.at(-1) ?? 0) + 1) {
        await this.#write(run[0] ?? 0, Buffer.concat(run.map((one) => this.#unwritten.get(one) ?? Buffer.alloc(0))))
        run = []
      }
      run.push(number)
    }
    this.#unwritten.clear()
  }

  async #write(first: number, bytes: Buffer): Promise<void> {
    const offset = first * this.sb.blockBytes
    if (isZero(bytes)) await this.#disk.zero(this.volume.start + offset, bytes.length)
    else await this.#disk.write(bytes, this.volume.start + offset)
    await this.#image.write(offset, bytes)
  }

  /** Throws Refused where its checksum is wrong. */
  async inode(number: number): Promise<StoredInode> {
    const place = inodePlace(this.sb, this.groups, number)
    const block = await this.block(Math.floor(place / this.sb.blockBytes))
    const at = place % this.sb.blockBytes
    const bytes = block.subarray(at, at + this.sb.inodeBytes)
    if (!isIntact(bytes, number, this.sb)) throw new Refused('checksum', "an inode's checksum is wrong")
    return { ...inodeOf(bytes, number, this.sb), bytes }
  }

  /** Stores an inode with its checksum; one of zeros stays so. It is written later: its neighbours may be changed next. */
  async putInode(number: number, bytes: Buffer, living = true): Promise<void> {
    const place = inodePlace(this.sb, this.groups, number)
    const blockNumber = Math.floor(place / this.sb.blockBytes)
    const block = await this.block(blockNumber)
    const whole = living ? withChecksum(bytes, number, this.sb) : bytes
    whole.copy(block, place % this.sb.blockBytes)
    this.#folders.delete(number)
    this.#blocks.delete(blockNumber)
    this.#unwritten.set(blockNumber, block)
    if (this.#unwritten.size > BLOCKS_UNWRITTEN) await this.flush()
  }

  runs(inode: Inode): Promise<BlockRun[]> {
    return runsOf(this.volume, this.sb, inode)
  }

  /** By name, without `.` and `..`. Throws Refused where there are too many, or the folder is broken. */
  async entries(folder: StoredInode): Promise<ReadonlyMap<string, FolderEntry>> {
    const known = this.#folders.get(folder.number)
    if (known) return known
    const entries = new Map<string, FolderEntry>()
    for (const { block, count } of await this.runs(folder)) {
      for (let number = block; number < block + count; number += 1) {
        for (const entry of entriesIn(await this.block(number), number)) {
          if (entry.name === '.' || entry.name === '..') continue
          if (entries.has(entry.name)) throw new Refused('folder-broken', 'a folder has one name twice')
          entries.set(entry.name, entry)
        }
        if (entries.size > MAX_ENTRIES) {
          throw new Refused('folder-too-large', 'a folder has more files than are read here')
        }
      }
    }
    this.#entriesRead += entries.size
    if (this.#entriesRead > MAX_ENTRIES_READ)
      throw new Refused('too-many-files', 'it has more files than are read here')
    this.#keep(this.#folders, FOLDERS_KEPT, folder.number, entries)
    return entries
  }

  /** Makes zeros of blocks that hold what is in a file: no other cache or copy has them. */
  async zeroContent(first: number, count: number): Promise<void> {
    const { blockBytes } = this.sb
    await this.#disk.zero(this.volume.start + first * blockBytes, count * blockBytes)
  }

  /** To be called when names of a folder were cleared. */
  forgetNames(folder: number, entries: readonly FolderEntry[]): void {
    for (const { name } of entries) this.#folders.get(folder)?.delete(name)
  }

  /** To be called when names were added to a folder. */
  forgetFolder(folder: number): void {
    this.#folders.delete(folder)
  }

  /** The first `limit` bytes of a file, or all of a shorter one. Throws Refused where its blocks cannot be. */
  async content(file: StoredInode, limit = Infinity): Promise<Buffer> {
    const bytes = Buffer.alloc(Math.min(file.size, limit))
    const { blockBytes } = this.sb
    for (const { at, block, count, written } of await this.runs(file)) {
      const start = at * blockBytes
      const length = Math.min(count * blockBytes, bytes.length - start)
      if (written && length > 0) (await this.volume.read(block * blockBytes, length)).copy(bytes, start)
    }
    return bytes
  }

  #keep<Value>(map: Map<number, Value>, most: number, key: number, value: Value): void {
    map.set(key, value)
    for (const oldest of map.keys()) {
      if (map.size <= most) break
      map.delete(oldest)
    }
  }
}
