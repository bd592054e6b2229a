/** Of a footer or header: the sum of all bytes but those of the checksum itself, inverted. 32 bits. */
export function checksum(bytes: Buffer, checksumAt: number): number {
  let sum = 0
  for (const [at, byte] of bytes.entries()) if (at < checksumAt || at >= checksumAt + 4) sum += byte
  return ~sum >>> 0
}
