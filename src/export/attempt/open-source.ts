import type { Disk, DiskLimits } from '../../disks/disk.ts'
import { openDisk } from '../../disks/inspect.ts'
import type { DiskReaders } from '../../disks/registry.ts'
import { SourceChanged } from '../../domain/errors.ts'
import type { ImageId } from '../../domain/ids.ts'
import type { ImageSource } from '../../images/image-source.ts'
import type { SourceIdentity } from '../ports.ts'

export type SourceUses = {
  readonly images: ImageSource
  readonly readers: DiskReaders
  readonly limits: DiskLimits
}

/** The image as a disk, if it is the one that was recorded and passes inspection. The caller disposes of it. */
export async function openSource(
  uses: SourceUses,
  imageId: ImageId,
  source: SourceIdentity,
  signal: AbortSignal
): Promise<Disk> {
  const file = await uses.images.open(imageId, signal)
  try {
    if (file.size !== source.size) throw new SourceChanged(source.size, file.size)
    return await openDisk(file, source.diskFormat, uses.limits, uses.readers)
  } catch (error) {
    await file[Symbol.asyncDispose]()
    throw error
  }
}
