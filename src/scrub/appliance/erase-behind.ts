import { KiB } from '../../domain/bytes.ts'
import type { DeviceDisk } from './device-disk.ts'
import type { Session } from './session.ts'

/** Makes zeros of what stands behind a file system that takes `length` bytes of its device, where gaps become zeros. */
export async function eraseBehind(
  { gaps }: Pick<Session, 'gaps'>,
  device: Pick<DeviceDisk, 'virtualSize' | 'erase' | 'flush'>,
  length: number
): Promise<void> {
  if (gaps.gaps === 'keep' || !(length < device.virtualSize)) return
  await device.erase([{ offset: length, length: device.virtualSize - length }])
  await device.flush()
}

/**
 * What a btrfs takes of its device at most: its kernel has mounted it, and does not where its devices are larger together than
 * this says.
 * @see https://btrfs.readthedocs.io/en/latest/dev/On-disk-format.html (superblock)
 */
export async function btrfsLength(device: Pick<DeviceDisk, 'read'>): Promise<number> {
  const totalBytes = Buffer.alloc(8)
  await device.read(totalBytes, 64 * KiB + 0x70)
  return Number(totalBytes.readBigUInt64LE())
}
