import type { Disk } from '../../disks/disk.ts'
import { AllocationMap } from '../../formats/allocation-map.ts'
import type { Format, Layout } from '../../formats/format.ts'
import type { PackedFormat } from '../../formats/packing.ts'

/** What can be known of the file from the image's map alone. Lengths are bytes. */
export type FilePlan = {
  readonly minLength: number
  readonly maxLength: number
  /** Of the disk, bytes that hold data. */
  readonly dataBytes: number
  /** Where every byte of the file comes from; undefined for what is compressed on the way. */
  readonly layout: Layout | undefined
}

/** @throws FormatLimitExceeded */
export async function planFile(disk: Disk, format: Format | PackedFormat): Promise<FilePlan> {
  const map = await AllocationMap.of(disk)
  if ('layout' in format) {
    const layout = format.layout(map)
    return { minLength: layout.length, maxLength: layout.length, dataBytes: map.dataBytes, layout }
  }
  const { headBytes, maxLength } = format.packing(map)
  return { minLength: headBytes, maxLength, dataBytes: map.dataBytes, layout: undefined }
}
