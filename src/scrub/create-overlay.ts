import { createHash } from 'node:crypto'
import { type FileHandle, open, rm } from 'node:fs/promises'
import { checkRange } from '../disks/bounds.ts'
import type { Disk, Extent } from '../disks/disk.ts'
import { KiB, MiB } from '../domain/bytes.ts'
import { Changes } from './changes.ts'
import { isZero } from './is-zero.ts'
import type { OverlayDisk } from './overlay-disk.ts'

/** In the digest a block of zeros is one, whether it was written or zeroed. */
const DIGEST_BLOCK = 4 * KiB
const READ_BYTES = MiB

/**
 * Lays an overlay without a change over a disk.
 * @param path of a file that is not there yet; the overlay removes it when it is disposed of
 */
export async function createOverlay(base: Disk, path: string): Promise<OverlayDisk> {
  const file = await open(path, 'wx+', 0o600)
  return new FileOverlay(base, file, path)
}

class FileOverlay implements OverlayDisk {
  readonly virtualSize: number
  readonly #base: Disk
  readonly #file: FileHandle
  readonly #path: string
  readonly #changes = new Changes()
  /** What was ever written to the file: it cannot be taken out again. */
  readonly #stored = new Changes()

  constructor(base: Disk, file: FileHandle, path: string) {
    this.virtualSize = base.virtualSize
    this.#base = base
    this.#file = file
    this.#path = path
  }

  get storedBytes(): number {
    return this.#stored.bytes
  }

  async *extents(): AsyncGenerator<Extent> {
    const changes = this.#changes.copy()
    let last: Extent | undefined
    for await (const extent of this.#base.extents()) {
      for (const { from, to, kind } of changes.within(extent.offset, extent.offset + extent.length)) {
        const data = kind === 'below' ? extent.data : kind === 'file'
        if (last?.data === data) last = { ...last, length: last.length + to - from }
        else {
          if (last) yield last
          last = { offset: from, length: to - from, data }
        }
      }
    }
    if (last) yield last
  }

  async read(target: Uint8Array, offset: number): Promise<void> {
    checkRange(target.length, offset, this.virtualSize)
    for (const { from, to, kind } of [...this.#changes.within(offset, offset + target.length)]) {
      const part = target.subarray(from - offset, to - offset)
      if (kind === 'below') await this.#base.read(part, from)
      else if (kind === 'file') await this.#readFile(part, from)
      else part.fill(0)
    }
  }

  async write(bytes: Uint8Array, offset: number): Promise<void> {
    checkRange(bytes.length, offset, this.virtualSize)
    for (let done = 0; done < bytes.length; ) {
      done += (await this.#file.write(bytes, done, bytes.length - done, offset + done)).bytesWritten
    }
    this.#changes.set(offset, offset + bytes.length, 'file')
    this.#stored.set(offset, offset + bytes.length, 'file')
  }

  async zero(offset: number, length: number): Promise<void> {
    checkRange(length, offset, this.virtualSize)
    this.#changes.set(offset, offset + length, 'zeros')
  }

  async digest(signal: AbortSignal): Promise<string> {
    const hash = createHash('sha256')
    let zeros = { from: -1, to: -1 }
    const endZeros = () => {
      if (zeros.to > zeros.from) hash.update(`zeros ${zeros.from} ${zeros.to}\n`)
      zeros = { from: -1, to: -1 }
    }
    for await (const { from, to, bytes } of this.#changedBlocks()) {
      signal.throwIfAborted()
      if (bytes) {
        endZeros()
        hash.update(`bytes ${from} ${to}\n`).update(bytes)
      } else if (from === zeros.to) zeros.to = to
      else {
        endZeros()
        zeros = { from, to }
      }
    }
    endZeros()
    return hash.digest('hex')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.#file.close()
      await rm(this.#path, { force: true })
    } finally {
      await this.#base[Symbol.asyncDispose]()
    }
  }

  /** What was changed, cut at whole blocks; without `bytes` where it is all zeros. */
  async *#changedBlocks(): AsyncGenerator<{ from: number; to: number; bytes?: Uint8Array }> {
    const changes = this.#changes.copy()
    for (const { from, to } of changes.ranges()) {
      for (let at = from; at < to; ) {
        const [piece] = changes.within(at, to)
        const zerosTo = piece?.kind !== 'zeros' ? at : piece.to === to ? to : roundDown(piece.to, DIGEST_BLOCK)
        const end = zerosTo > at ? zerosTo : Math.min(to, roundDown(at, READ_BYTES) + READ_BYTES)
        if (zerosTo > at) yield { from: at, to: end }
        else {
          const bytes = Buffer.allocUnsafe(end - at)
          await this.read(bytes, at)
          yield* blocksOf(bytes, at)
        }
        at = end
      }
    }
  }

  async #readFile(target: Uint8Array, offset: number): Promise<void> {
    for (let done = 0; done < target.length; ) {
      const { bytesRead } = await this.#file.read(target, done, target.length - done, offset + done)
      if (bytesRead === 0) throw new Error(`the file with the changes ends at ${offset + done}`)
      done += bytesRead
    }
  }
}

const roundDown = (bytes: number, unit: number): number => Math.floor(bytes / unit) * unit

function* blocksOf(bytes: Buffer, start: number) {
  for (let at = start; at < start + bytes.length; ) {
    const to = Math.min(start + bytes.length, roundDown(at, DIGEST_BLOCK) + DIGEST_BLOCK)
    const block = bytes.subarray(at - start, to - start)
    yield isZero(block) ? { from: at, to } : { from: at, to, bytes: block }
    at = to
  }
}
