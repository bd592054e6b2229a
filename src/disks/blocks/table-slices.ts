import type { RandomAccess } from '../disk.ts'
import type { Table } from './table.ts'

const SLICE_BYTES = 64 * 1024

/** A long table in slices of whole entries of 4 or 8 bytes. A slice is valid until the next is asked for. */
export async function* slicesOf(file: RandomAccess, { offset, bytes }: Table): AsyncGenerator<Buffer> {
  const buffer = Buffer.allocUnsafe(Math.min(SLICE_BYTES, bytes))
  for (let at = 0; at < bytes; at += buffer.length) {
    const slice = buffer.subarray(0, Math.min(buffer.length, bytes - at))
    await file.read(slice, offset + at)
    yield slice
  }
}
