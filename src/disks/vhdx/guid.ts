/** The GUID at `at` as it is usually written; its first three groups are little-endian. */
export function guidAt(bytes: Buffer, at: number): string {
  const group = (value: number, digits: number) => value.toString(16).padStart(digits, '0')
  const head = [group(bytes.readUInt32LE(at), 8), group(bytes.readUInt16LE(at + 4), 4)]
  const tail = [bytes.toString('hex', at + 8, at + 10), bytes.toString('hex', at + 10, at + 16)]
  return [...head, group(bytes.readUInt16LE(at + 6), 4), ...tail].join('-')
}

export const NO_GUID = '00000000-0000-0000-0000-000000000000'
