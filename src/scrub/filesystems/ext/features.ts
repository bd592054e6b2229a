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

/** Of the compatible ones only these matter here; those not known may be ignored by definition. */
const COMPAT = { journal: 0x4, sparseSuper2: 0x200, orphanFile: 0x1000 } as const

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

/** With these more than inodes, folders and bitmaps would have to be changed along with a file. */
const UNEDITED_INCOMPAT = INCOMPAT.mmp | INCOMPAT.eaInode | INCOMPAT.inlineData | INCOMPAT.encrypt | INCOMPAT.casefold
const UNEDITED_RO_COMPAT =
  RO_COMPAT.quota | RO_COMPAT.bigalloc | RO_COMPAT.readOnly | RO_COMPAT.project | RO_COMPAT.verity

/** What is switched on, of what bears on where blocks lie and what may be changed. */
export type Features = {
  readonly journal: boolean
  /** The journal holds changes that have not reached their places. */
  readonly needsReplay: boolean
  readonly orphanFile: boolean
  readonly orphansPresent: boolean
  readonly extents: boolean
  /** Entries of folders tell what they name. */
  readonly fileTypes: boolean
  /** Whether files can be changed here. */
  readonly editable: boolean
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

/** Throws Refused for a feature that is not known here, for it may keep blocks in places that are not known either. */
export function checkFeatures(compat: number, incompat: number, roCompat: number): Features {
  const has = (word: number, bit: number) => (word & bit) !== 0
  if (has(incompat, ~ALL_INCOMPAT) || has(roCompat, ~ALL_RO_COMPAT)) {
    throw new Refused('unknown-features', 'it uses features that are not known here')
  }
  const metadataCsum = has(roCompat, RO_COMPAT.metadataCsum)
  const sparse = has(roCompat, RO_COMPAT.sparseSuper) ? 'sparse' : 'all'
  return {
    journal: has(compat, COMPAT.journal),
    needsReplay: has(incompat, INCOMPAT.recover),
    orphanFile: has(compat, COMPAT.orphanFile),
    orphansPresent: has(roCompat, RO_COMPAT.orphanPresent),
    extents: has(incompat, INCOMPAT.extents),
    fileTypes: has(incompat, INCOMPAT.filetype),
    editable: !has(incompat, UNEDITED_INCOMPAT) && !has(roCompat, UNEDITED_RO_COMPAT),
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
