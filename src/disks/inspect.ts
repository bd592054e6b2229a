import { ImageUnsafe, SourceReadFailed } from '../domain/errors.ts'
import { checkVirtualSize } from './bounds.ts'
import type { Disk, DiskLimits, RandomAccess } from './disk.ts'
import type { DiskReaders } from './registry.ts'
import { HEAD_BYTES, type Marks, SIGNATURES, type Signature, TAIL_BYTES } from './signatures.ts'

/**
 * The one door through which any image is opened. Nothing is guessed: the bytes must look like the declared `disk_format`
 * and like nothing else, then that format's reader checks the rest.
 *
 * Throws ImageUnsafe for whatever is wrong with the image, also for errors nobody thought of (rule `unreadable`), and
 * SourceReadFailed when its bytes cannot be had. When it throws, `file` is still the caller's to dispose of; when it
 * answers, the disk owns it.
 */
export async function openDisk(
  file: RandomAccess,
  declared: string,
  limits: DiskLimits,
  readers: DiskReaders
): Promise<Disk> {
  try {
    const reader = readers.get(declared)
    if (!reader) throw new ImageUnsafe('unsupported_format', 'its declared disk_format cannot be read here')
    if (!(file.size > 0)) throw new ImageUnsafe('empty', 'it holds no bytes')
    checkFormat(formatsIn(await marksOf(file, file.size)), declared)
    const disk = await reader.open(file, limits)
    checkVirtualSize(disk.virtualSize, limits)
    return disk
  } catch (cause) {
    if (cause instanceof ImageUnsafe || cause instanceof SourceReadFailed) throw cause
    throw new ImageUnsafe('unreadable', 'its structure cannot be understood', { cause })
  }
}

/**
 * Refuses a disk whose own bytes would be taken for an image format once they stand bare in a file: a guest could have
 * written a header there that names files of whoever opens the export. Throws ImageUnsafe.
 * @param declared the image's `disk_format`: the bytes of an ISO image are one by right
 */
export async function assertBareDisk(disk: Disk, declared?: string): Promise<void> {
  const found = formatsIn(await marksOf(disk, disk.virtualSize))
  const nested = found.find((signature) => !mayStandIn(declared === 'iso' ? 'iso' : 'raw', signature))
  if (nested) throw new ImageUnsafe('nested_format', `the content of its disk looks like a ${nested.format} image`)
}

/** Formats without a mark of their own: the file is the bare disk. */
const UNMARKED: ReadonlySet<string> = new Set(['raw', 'ami', 'aki', 'ari'])

/** A bare disk may look like what disks hold; an image of any other format must look like that format. */
function checkFormat(found: readonly Signature[], declared: string): void {
  const other = found.find((signature) => !mayStandIn(declared, signature))
  const itself = UNMARKED.has(declared) ? other === undefined : found.some(({ format }) => format === declared)
  if (!itself) {
    throw new ImageUnsafe('format_mismatch', `it is declared ${declared} but looks like ${other?.format ?? 'no image'}`)
  }
  if (other) throw new ImageUnsafe('multiple_formats', `it looks like ${declared} and like ${other.format} at once`)
}

/** Whether this mark is no contradiction in an image of the declared format. */
function mayStandIn(declared: string, { format, bare }: Signature): boolean {
  if (format === declared) return true
  // An ISO image that also starts from a USB stick begins with a partition table.
  return declared === 'iso' ? format === 'mbr' || format === 'gpt' : UNMARKED.has(declared) && bare
}

const formatsIn = (marks: Marks): Signature[] => SIGNATURES.filter(({ matches }) => matches(marks))

async function marksOf(bytes: Pick<RandomAccess, 'read'>, size: number): Promise<Marks> {
  const head = Buffer.alloc(Math.min(HEAD_BYTES, size))
  const tail = Buffer.alloc(Math.min(TAIL_BYTES, size))
  await bytes.read(head, 0)
  await bytes.read(tail, size - tail.length)
  return { size, head, tail }
}
