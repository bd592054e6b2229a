/** CRC-32C (Castagnoli), reflected; zlib has only the other CRC-32. */
const POLYNOMIAL = 0x82f63b78

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? POLYNOMIAL : 0)
  return crc
})

/**
 * CRC-32C of all bytes.
 * @param before the CRC-32C of the bytes that came before them, as in zlib's crc32
 * @see https://www.rfc-editor.org/rfc/rfc3720#appendix-B.4 (examples)
 */
export function crc32c(bytes: Uint8Array, before = 0): number {
  let crc = ~before
  for (const byte of bytes) crc = (crc >>> 8) ^ (TABLE[(crc ^ byte) & 0xff] ?? 0)
  return ~crc >>> 0
}

/** Whether a structure is unchanged: it holds its own CRC-32C in bytes 4 to 7, which count as zeros. */
export function hasOwnCrc(structure: Buffer): boolean {
  const copy = Buffer.from(structure)
  copy.writeUInt32LE(0, 4)
  return crc32c(copy) === structure.readUInt32LE(4)
}
