import { Buffers } from '../../src/pipeline/buffers.ts'

/** Counts the bytes that are lent. */
export class CountedBuffers extends Buffers {
  lent = 0
  mostLent = 0
  override take(bytes: number): Buffer {
    this.lent += bytes
    this.mostLent = Math.max(this.mostLent, this.lent)
    return super.take(bytes)
  }
  override giveBack(buffer: Buffer): void {
    this.lent -= buffer.length
    super.giveBack(buffer)
  }
}
