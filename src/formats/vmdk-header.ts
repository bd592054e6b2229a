import { GiB, KiB } from '../domain/bytes.ts'
import { FormatLimitExceeded } from '../domain/errors.ts'

export const SECTOR_BYTES = 512
export const GRAIN_BYTES = 64 * KiB
export const ENTRY_BYTES = 4
export const ENTRIES_PER_TABLE = 512
export const TABLE_BYTES = ENTRIES_PER_TABLE * ENTRY_BYTES
export const TABLE_COVERS_BYTES = ENTRIES_PER_TABLE * GRAIN_BYTES
/** Behind the header, whatever the kind. */
export const DESCRIPTOR_AT = SECTOR_BYTES
export const DESCRIPTOR_BYTES = 20 * SECTOR_BYTES
/** Sector numbers have 32 bits: a full disk, its tables and what packing may add must end below 2 TiB. */
export const VMDK_MAX_VIRTUAL_SIZE = 2000 * GiB

/** @throws FormatLimitExceeded */
export function assertFitsVmdk(virtualSize: number): void {
  if (virtualSize > VMDK_MAX_VIRTUAL_SIZE) throw new FormatLimitExceeded('vmdk', VMDK_MAX_VIRTUAL_SIZE)
}

/**
 * The header of a hosted sparse extent. Places are bytes of the file; `directoryAt` may be the marker "at the end".
 * @see Virtual Disk Format 5.0 (VMware technical note, 2011), "Hosted Sparse Extents"
 */
export function vmdkHeader(fields: {
  readonly version: number
  readonly flags: number
  readonly virtualSize: number
  readonly redundantDirectoryAt: number
  readonly directoryAt: number | typeof AT_END
  readonly grainsAt: number
  readonly compressed: boolean
}): Buffer {
  const bytes = Buffer.alloc(SECTOR_BYTES)
  const sectors = (length: number, at: number) => bytes.writeBigUInt64LE(BigInt(length / SECTOR_BYTES), at)
  bytes.write('KDMV', 0, 'latin1')
  bytes.writeUInt32LE(fields.version, 4)
  bytes.writeUInt32LE(fields.flags, 8)
  sectors(fields.virtualSize, 12)
  sectors(GRAIN_BYTES, 20)
  sectors(DESCRIPTOR_AT, 28)
  sectors(DESCRIPTOR_BYTES, 36)
  bytes.writeUInt32LE(ENTRIES_PER_TABLE, 44)
  sectors(fields.redundantDirectoryAt, 48)
  if (fields.directoryAt === AT_END) bytes.writeBigUInt64LE(2n ** 64n - 1n, 56)
  else sectors(fields.directoryAt, 56)
  sectors(fields.grainsAt, 64)
  bytes.write('\n \r\n', 73, 'latin1') // shows a file that was transferred as text
  if (fields.compressed) bytes.writeUInt16LE(1, 77) // deflate
  return bytes
}

/** The footer says where the grain directory is. */
export const AT_END = 'at the end'

/** Text behind the header. An IDE geometry ends at 16383 cylinders, a SCSI one at 65535; beyond, the size alone counts. */
export function vmdkDescriptor(
  createType: 'monolithicSparse' | 'streamOptimized',
  adapter: 'ide' | 'lsilogic',
  virtualSize: number
): Buffer {
  const sectors = virtualSize / SECTOR_BYTES
  const [heads, mostCylinders] = adapter === 'ide' ? [16, 16383] : [255, 65535]
  const cylinders = Math.min(mostCylinders, Math.max(1, Math.floor(sectors / (heads * 63))))
  return Buffer.from(`# Disk DescriptorFile
version=1
CID=fffffffe
parentCID=ffffffff
createType="${createType}"

# Extent description
RW ${sectors} SPARSE "disk.vmdk"

# The Disk Data Base
#DDB

ddb.virtualHWVersion = "4"
ddb.geometry.cylinders = "${cylinders}"
ddb.geometry.heads = "${heads}"
ddb.geometry.sectors = "63"
ddb.adapterType = "${adapter}"
`)
}
