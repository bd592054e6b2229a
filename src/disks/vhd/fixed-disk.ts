import { ImageUnsafe } from '../../domain/errors.ts'
import type { Disk, DiskLimits, RandomAccess, Range } from '../disk.ts'
import { raw } from '../raw.ts'
import { FOOTER_BYTES, type Footer } from './footer.ts'

/** A fixed disk is a bare one with a footer after it. */
export async function openFixedDisk(file: RandomAccess, { virtualSize }: Footer, limits: DiskLimits): Promise<Disk> {
  if (virtualSize > file.size - FOOTER_BYTES) {
    throw new ImageUnsafe('data_outside', 'its file is shorter than its disk')
  }
  return raw.open(new Front(file, virtualSize), limits)
}

/** The first bytes of a file as a file of their own. */
class Front implements RandomAccess {
  readonly size: number
  readonly dataRanges?: readonly Range[]
  readonly #file: RandomAccess

  constructor(file: RandomAccess, size: number) {
    this.#file = file
    this.size = size
    if (file.dataRanges) {
      this.dataRanges = file.dataRanges
        .filter(({ offset }) => offset < size)
        .map(({ offset, length }) => ({ offset, length: Math.min(length, size - offset) }))
    }
  }

  async read(target: Uint8Array, offset: number): Promise<void> {
    await this.#file.read(target, offset)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file[Symbol.asyncDispose]()
  }
}
