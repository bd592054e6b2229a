import { KiB } from '../../domain/bytes.ts'
import type { Volume } from '../volume.ts'

type Mark = { readonly at: number; readonly bytes: string }

/** Strings are Latin-1: one character a byte. `at` below 0 counts from the end of the volume. */
const mark = (at: number, bytes: string): Mark => ({ at, bytes })

/** What may stand in a partition but is not read here, and any one of the marks by which it is known. */
const MARKS: Readonly<Record<string, readonly Mark[]>> = {
  xfs: [mark(0, 'XFSB')],
  btrfs: [mark(0x10040, '_BHRfS_M')],
  bcachefs: [mark(0x1018, '\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81')],
  bcache: [mark(0x1018, '\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef')],
  lvm: [0, 1, 2, 3].map((sector) => mark(sector * 512, 'LABELONE')),
  luks: [mark(0, 'LUKS\xba\xbe')],
  bitlocker: [mark(3, '-FVE-FS-')],
  ntfs: [mark(3, 'NTFS    ')],
  exfat: [mark(3, 'EXFAT   ')],
  refs: [mark(3, 'ReFS\0\0\0\0')],
  f2fs: [mark(0x400, '\x10\x20\xf5\xf2')],
  erofs: [mark(0x400, '\xe2\xe1\xf5\xe0')],
  squashfs: [mark(0, 'hsqs')],
  'hfs+': [mark(0x400, 'H+\0\x04'), mark(0x400, 'HX\0\x05')],
  apfs: [mark(0x20, 'NXSB')],
  jfs: [mark(0x8000, 'JFS1')],
  reiserfs: [0x2034, 0x10034].map((at) => mark(at, 'ReIsEr')),
  ufs: [0x255c, 0x1055c].map((at) => mark(at, '\x19\x54\x01\x19')),
  iso9660: [mark(0x8001, 'CD001'), mark(0x8001, 'BEA01')],
  // Its first label, or the uberblocks of it: https://openzfs.github.io/openzfs-docs/ (on-disk format, 1.2).
  zfs: Array.from({ length: 128 }, (_, i) => mark(128 * KiB + i * KiB, '\x0c\xb1\xba\0\0\0\0\0')),
  // Version 1.1, 1.2, 1.0 and 0.90 of the superblock, see linux_raid(4): the last two stand near the end.
  raid: [0, 4 * KiB].map((at) => mark(at, '\xfc\x4e\x2b\xa9')),
  'hibernated guest': [mark(0, 'HIBR'), mark(0, 'hibr')]
}

const RAID = '\xfc\x4e\x2b\xa9'
const LONGEST = 256 * KiB

/** Names of all that the volume looks like and that is not read here. */
export async function recognised(volume: Volume): Promise<string[]> {
  const head = await volume.read(0, Math.min(LONGEST, volume.length))
  const text = (bytes: Buffer, at: number, length: number) => bytes.toString('latin1', at, at + length)
  const names = Object.entries(MARKS)
    .filter(([, marks]) => marks.some(({ at, bytes }) => text(head, at, bytes.length) === bytes))
    .map(([name]) => name)
  if (!names.includes('raid') && (await endsAsRaid(volume))) names.push('raid')
  return names
}

/** Superblock 1.0 lies 8 to 12 KiB before the end, on a boundary of 4 KiB; 0.90 in the last whole 64 KiB but one. */
async function endsAsRaid(volume: Volume): Promise<boolean> {
  const sectors = Math.floor(volume.length / 512)
  const places = [
    Math.floor((sectors - 16) / 8) * 8 * 512,
    Math.floor(volume.length / (64 * KiB)) * 64 * KiB - 64 * KiB
  ]
  for (const at of places.filter((place) => place >= 0)) {
    if ((await volume.read(at, 4)).toString('latin1') === RAID) return true
  }
  return false
}
