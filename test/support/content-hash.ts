import { createHash } from 'node:crypto'

const BLOCK = 65_536

/** The content hash as its definition reads, of a whole disk in memory. */
export function contentHashOf(disk: Uint8Array): string {
  const text: Buffer[] = []
  const number = (value: number) => {
    const bytes = Buffer.alloc(8)
    bytes.writeBigUInt64BE(BigInt(value))
    return bytes
  }
  for (let index = 0; index * BLOCK < disk.length; index++) {
    const block = Buffer.alloc(BLOCK)
    block.set(disk.subarray(index * BLOCK, (index + 1) * BLOCK))
    if (block.some((byte) => byte !== 0)) text.push(number(index), createHash('sha256').update(block).digest())
  }
  text.push(number(disk.length))
  return createHash('sha256').update(Buffer.concat(text)).digest('hex')
}
