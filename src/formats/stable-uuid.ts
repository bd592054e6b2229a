import { createHash } from 'node:crypto'
import type { UnitRuns } from './allocation-map.ts'

/**
 * A UUID of version 8 (RFC 9562) for a format that wants one, from the disk's size and allocation instead of chance.
 * Allocation is in it so that different disks rarely share one: VirtualBox refuses a second medium with a UUID it knows.
 * @param use what it identifies, so that two UUIDs of one file differ
 */
export function stableUuid(use: string, virtualSize: number, runs: UnitRuns): string {
  const digest = createHash('sha256')
    .update(`${use}:${virtualSize}:${runs.unitBytes}:`)
    .update(runs.starts)
    .update(runs.counts)
    .digest()
  digest.writeUInt8((digest.readUInt8(6) & 0x0f) | 0x80, 6)
  digest.writeUInt8((digest.readUInt8(8) & 0x3f) | 0x80, 8)
  return digest.toString('hex', 0, 16).replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}

/** The 16 bytes of a UUID as RFC 9562 orders them. */
export const uuidBytes = (uuid: string): Buffer => Buffer.from(uuid.replaceAll('-', ''), 'hex')

/** The 16 bytes of a UUID as Microsoft's GUID structure orders them: the first three fields little-endian. */
export function guidBytes(uuid: string): Buffer {
  const bytes = uuidBytes(uuid)
  bytes.subarray(0, 4).reverse()
  bytes.subarray(4, 6).reverse()
  bytes.subarray(6, 8).reverse()
  return bytes
}
