import { type FileHandle, open } from 'node:fs/promises'
import { basename } from 'node:path'
import { openLocalFile } from '../../disks/local-file.ts'
import { raw } from '../../disks/raw.ts'
import { KiB, roundUp } from '../../domain/bytes.ts'
import { readSuperblock, type Superblock } from '../filesystems/ext/superblock.ts'
import { isZero } from '../is-zero.ts'
import type { OverlayDisk } from '../overlay-disk.ts'
import { runs } from '../runs.ts'
import { sourceOf, Volume } from '../volume.ts'
import { eachMetadata } from './metadata.ts'

/** What is compared, copied and told apart from zeros. */
const UNIT_BYTES = 4 * KiB
/** Of this much is remembered at once whether anything was written there. */
const AREA_BYTES = 256 * KiB

/**
 * An ext file system in a sparse file of its size, without what its files hold: enough for the file system's own tools, and
 * megabytes where the file system has gigabytes.
 */
export class MetadataImage implements AsyncDisposable {
  readonly path: string
  readonly #file: FileHandle
  readonly #bytes: number
  readonly #areas = new Set<number>()

  private constructor(path: string, file: FileHandle, bytes: number) {
    this.path = path
    this.#file = file
    this.#bytes = bytes
  }

  /**
   * Copies the metadata of a volume; the remains of deleted inodes are cleaned on the disk as well.
   * Throws Refused.
   */
  static async create(path: string, disk: OverlayDisk, volume: Volume, sb: Superblock): Promise<MetadataImage> {
    const image = new MetadataImage(path, await open(path, 'wx+', 0o600), sb.blocks * sb.blockBytes)
    try {
      await image.#file.truncate(image.#bytes)
      await eachMetadata(volume, sb, volume.isZero.bind(volume), async (offset, bytes, cleaned) => {
        for (const { from, to, chosen } of runs(bytes, UNIT_BYTES, (unit) => !isZero(unit))) {
          if (chosen) await image.write(offset + from, bytes.subarray(from, to))
        }
        if (cleaned) await disk.write(bytes, volume.start + offset)
      })
      return image
    } catch (error) {
      await image[Symbol.asyncDispose]()
      throw error
    }
  }

  /** Its name in its folder. */
  get name(): string {
    return basename(this.path)
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    for (const area of areas(offset, bytes.length)) this.#areas.add(area)
    for (let done = 0; done < bytes.length; ) {
      done += (await this.#file.write(bytes, done, bytes.length - done, offset + done)).bytesWritten
    }
  }

  /**
   * Takes to the disk what a tool has changed here. A block that is no metadata any more belongs to nobody, so what it holds
   * is of no interest.
   * @param start of the file system, byte of the disk
   * Throws Refused when the file system is not at rest.
   */
  async takeOver(disk: OverlayDisk, start: number, signal: AbortSignal): Promise<void> {
    const size = roundUp(this.#bytes, 512)
    await using file = await raw.open(await openLocalFile(this.path), { maxVirtualSize: size })
    const volume = new Volume(await sourceOf(file, signal), 0, this.#bytes)
    // Where nothing was written no inode was ever in use, here or on the disk.
    const idle = (offset: number, length: number) => areas(offset, length).every((area) => !this.#areas.has(area))
    await eachMetadata(volume, await readSuperblock(volume), idle, async (offset, bytes) => {
      const before = Buffer.allocUnsafe(bytes.length)
      await disk.read(before, start + offset)
      if (before.equals(bytes)) return
      const differs = (unit: Buffer, from: number) => !unit.equals(before.subarray(from, from + unit.length))
      for (const { from, to, chosen } of runs(bytes, UNIT_BYTES, differs)) {
        if (!chosen) continue
        const changed = bytes.subarray(from, to)
        if (isZero(changed)) await disk.zero(start + offset + from, changed.length)
        else await disk.write(changed, start + offset + from)
      }
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close()
  }
}

const areas = (offset: number, length: number): number[] => {
  const first = Math.floor(offset / AREA_BYTES)
  return Array.from({ length: Math.ceil((offset + length) / AREA_BYTES) - first }, (_, i) => first + i)
}
