import { Refused } from '../../refused.ts'

/** @see https://docs.kernel.org/filesystems/ext4/super.html, and lib/ext2fs/ext2_fs.h of e2fsprogs */
const INCOMPAT = {
  filetype: 0x2,
  recover: 0x4,
  metaBg: 0x10,
  extents: 0x40,
  bits64: 0x80,
  mmp: 0x100,
  flexBg: 0x200,
  eaInode: 0x400,
  csumSeed: 0x2000,
  largeDir: 0x4000,
  inlineData: 0x8000,
  encrypt: 0x10000,
  casefold: 0x20000
} as const

/** Of the compatible ones only this says where blocks lie; those not known here may be ignored by definition. */
const COMPAT = { sparseSuper2: 0x200 } as const

const RO_COMPAT = {
  sparseSuper: 0x1,
  largeFile: 0x2,
  btreeDir: 0x4,
  hugeFile: 0x8,
  gdtCsum: 0x10,
  dirNlink: 0x20,
  extraIsize: 0x40,
  quota: 0x100,
  bigalloc: 0x200,
  metadataCsum: 0x400,
  readOnly: 0x1000,
  project: 0x2000,
  verity: 0x8000,
  orphanPresent: 0x10000
} as const

const ALL_INCOMPAT = Object.values(INCOMPAT).reduce((all, bit) => all | bit, 0)
const ALL_RO_COMPAT = Object.values(RO_COMPAT).reduce((all, bit) => all | bit, 0)

/** What is switched on, of what bears on where blocks lie. */
export type Features = {
  readonly metaBg: boolean
  readonly bits64: boolean
  readonly mmp: boolean
  readonly bigalloc: boolean
  readonly metadataCsum: boolean
  readonly csumSeed: boolean
  /** Group descriptors have checksums, so that their flags for tables that were never used count. */
  readonly groupCsum: boolean
  readonly backups: 'all' | 'sparse' | 'two'
}

/**
 * Throws Refused for a feature that is not known here, for it may keep blocks in places that are not known either, and for
 * a file system that is not at rest.
 */
export function checkFeatures(compat: number, incompat: number, roCompat: number): Features {
  const has = (word: number, bit: number) => (word & bit) !== 0
  if (has(incompat, INCOMPAT.recover))
    throw new Refused('journal-to-replay', 'its journal holds changes to be replayed')
  if (has(roCompat, RO_COMPAT.orphanPresent)) throw new Refused('orphans', 'it has deleted files that are still open')
  if (has(incompat, ~ALL_INCOMPAT) || has(roCompat, ~ALL_RO_COMPAT)) {
    throw new Refused('unknown-features', 'it uses features that are not known here')
  }
  const metadataCsum = has(roCompat, RO_COMPAT.metadataCsum)
  const sparse = has(roCompat, RO_COMPAT.sparseSuper) ? 'sparse' : 'all'
  return {
    metaBg: has(incompat, INCOMPAT.metaBg),
    bits64: has(incompat, INCOMPAT.bits64),
    mmp: has(incompat, INCOMPAT.mmp),
    bigalloc: has(roCompat, RO_COMPAT.bigalloc),
    metadataCsum,
    csumSeed: has(incompat, INCOMPAT.csumSeed),
    groupCsum: metadataCsum || has(roCompat, RO_COMPAT.gdtCsum),
    backups: has(compat, COMPAT.sparseSuper2) ? 'two' : sparse
  }
}
