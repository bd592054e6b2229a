/** The bytes of a file or a disk in which formats leave their marks. */
export type Marks = {
  /** Bytes in all. */
  readonly size: number
  /** The first 64 KiB, or less when there is less. */
  readonly head: Buffer
  /** The last 1 KiB, or less when there is less. */
  readonly tail: Buffer
}

export const HEAD_BYTES = 64 * 1024
export const TAIL_BYTES = 1024

/** How one format is known by its bytes. */
export type Signature = {
  /** Glance's `disk_format` where it has one. */
  readonly format: string
  /** True for what stands in a bare disk by right: partition tables and encrypted volumes. */
  readonly bare: boolean
  readonly matches: (marks: Marks) => boolean
}

/** Strings are Latin-1: one character a byte. */
const startsWith = ({ head }: Marks, magic: string, offset = 0): boolean =>
  head.toString('latin1', offset, offset + magic.length) === magic

/**
 * Every format that we, qemu 7-10 or oslo.utils would recognise in a file. Two of them in one file are an attack or an
 * accident; either way nobody can say which disk was meant.
 */
export const SIGNATURES: readonly Signature[] = [
  { format: 'qcow2', bare: false, matches: (marks) => startsWith(marks, 'QFI\xfb') },
  { format: 'qed', bare: false, matches: (marks) => startsWith(marks, 'QED\0') },
  { format: 'vmdk', bare: false, matches: isVmdk },
  { format: 'vhd', bare: false, matches: isVhd },
  { format: 'vhdx', bare: false, matches: (marks) => startsWith(marks, 'vhdxfile') },
  { format: 'vdi', bare: false, matches: (marks) => startsWith(marks, '\x7f\x10\xda\xbe', 0x40) },
  {
    format: 'ploop',
    bare: false,
    matches: (marks) => startsWith(marks, 'WithoutFreeSpace') || startsWith(marks, 'WithouFreSpacExt')
  },
  { format: 'bochs', bare: false, matches: (marks) => startsWith(marks, 'Bochs Virtual HD Image') },
  { format: 'cloop', bare: false, matches: (marks) => startsWith(marks, '#!/bin/sh\n#V2.0 Format\nmodprobe cloop') },
  { format: 'dmg', bare: false, matches: isDmg },
  { format: 'iso', bare: false, matches: isOptical },
  { format: 'luks', bare: true, matches: (marks) => startsWith(marks, 'LUKS\xba\xbe') },
  { format: 'mbr', bare: true, matches: (marks) => startsWith(marks, '\x55\xaa', 510) },
  {
    format: 'gpt',
    bare: true,
    matches: (marks) => startsWith(marks, 'EFI PART', 512) || startsWith(marks, 'EFI PART', 4096)
  }
]

/** Hosted sparse, ESX sparse (both kinds), or a text descriptor, which may name any file of the machine. */
function isVmdk(marks: Marks): boolean {
  return (
    startsWith(marks, 'KDMV') ||
    startsWith(marks, 'COWD') ||
    startsWith(marks, '\xbe\xba\xfe\xca\0\0\0\0') ||
    isVmdkDescriptor(marks.head.toString('latin1'))
  )
}

/**
 * The title may be missing or misspelt: qemu takes any text for a descriptor whose first line that is neither blank nor a
 * comment is `version=`. NUL padding, byte order marks and any line end are looked through.
 */
function isVmdkDescriptor(text: string): boolean {
  const lines = text
    .replace(/^\xef\xbb\xbf/, '')
    .replaceAll('\0', '')
    .split(/[\r\n]+/)
  for (const line of lines) {
    const words = line.trim().toLowerCase()
    if (/^#\s*disk\s*descriptor/.test(words)) return true
    if (words !== '' && !words.startsWith('#')) return /^(version|encoding|cid|parentcid|createtype)\s*=/.test(words)
  }
  return false
}

/** The footer: in front of a dynamic disk, at the end of every one. Virtual PC before 2004 wrote 511 bytes of it. */
function isVhd(marks: Marks): boolean {
  const { size, tail } = marks
  const footers = [size - 512, size - 511, Math.floor((size - 1) / 512) * 512]
  const tailStart = size - tail.length
  return (
    startsWith(marks, 'conectix') ||
    footers.some((at) => at >= tailStart && tail.toString('latin1', at - tailStart, at - tailStart + 8) === 'conectix')
  )
}

/** qemu searches the last two sectors for the trailer, wherever in them it begins. */
function isDmg({ tail }: Marks): boolean {
  return tail.includes('koly', 0, 'latin1')
}

/** ISO 9660 (ECMA-119) and UDF (ECMA-167): volume descriptors from sector 16 of 2 KiB on, the name after one byte. */
function isOptical(marks: Marks): boolean {
  for (let at = 16 * 2048; at < HEAD_BYTES; at += 2048) {
    if (['CD001', 'BEA01', 'NSR02', 'NSR03'].some((magic) => startsWith(marks, magic, at + 1))) return true
  }
  return false
}
