const BLOCK_BYTES = 512
/** Eleven octal digits hold no more. */
const LARGEST_OCTAL_SIZE = 8 ** 11 - 1

/**
 * The header of one regular file: owner, group and time are neutral. Files of 8 GiB and more have their size in base 256, as
 * GNU tar writes and every common reader understands it.
 * @see https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html ustar Interchange Format
 */
export function tarHeader(name: string, size: number): Uint8Array {
  const bytes = Buffer.alloc(BLOCK_BYTES)
  const octal = (value: number, digits: number) => `${value.toString(8).padStart(digits, '0')}\0`
  bytes.write(name, 0, 100, 'latin1')
  bytes.write(octal(0o644, 7), 100)
  bytes.write(octal(0, 7), 108) // owner
  bytes.write(octal(0, 7), 116) // group
  if (size <= LARGEST_OCTAL_SIZE) bytes.write(octal(size, 11), 124)
  else {
    bytes.writeUInt8(0x80, 124)
    bytes.writeBigUInt64BE(BigInt(size), 128)
  }
  bytes.write(octal(0, 11), 136) // time
  bytes.write(' '.repeat(8), 148) // the checksum counts itself as blanks
  bytes.write('0', 156) // a regular file
  bytes.write('ustar\x0000', 257, 'latin1')
  const sum = bytes.reduce((total, byte) => total + byte, 0)
  bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return bytes
}

/** Zeros from the end of a file of this size to the next header. */
export const tarPadding = (size: number): Uint8Array =>
  new Uint8Array((BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES)

/** Two empty blocks end an archive. */
export const tarEnd = (): Uint8Array => new Uint8Array(2 * BLOCK_BYTES)
