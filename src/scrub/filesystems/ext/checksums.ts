import { crc32c } from '../../../disks/crc32c.ts'

/**
 * ext4's checksums are CRC-32C without the last inversion, seeded with what they belong to: `ext4Crc(seed, bytes)` goes on
 * from `seed`.
 * @see https://docs.kernel.org/filesystems/ext4/checksums.html
 */
export const ext4Crc = (seed: number, ...parts: readonly Uint8Array[]): number =>
  ~parts.reduce((crc, bytes) => crc32c(bytes, crc), ~seed) >>> 0

export const NO_SEED = 0xffffffff

export function le32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

/** CRC-16 (ARC) from all ones: group descriptors before metadata_csum. */
export function crc16(...parts: readonly Uint8Array[]): number {
  let crc = 0xffff
  for (const bytes of parts) {
    for (const byte of bytes) {
      crc ^= byte
      for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xa001 : 0)
    }
  }
  return crc
}
