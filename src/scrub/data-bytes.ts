import type { Disk } from '../disks/disk.ts'

/** How many bytes of [from, to) a disk does not know to be zeros. */
export async function dataBytes(disk: Disk, from = 0, to = disk.virtualSize): Promise<number> {
  let bytes = 0
  for await (const { offset, length, data } of disk.extents())
    if (data) bytes += Math.max(0, Math.min(to, offset + length) - Math.max(from, offset))
  return bytes
}
