import { ImageUnsafe } from '../../domain/errors.ts'

/** What the header says, in sectors; the descriptor must say the same. */
export type Claims = { readonly compressed: boolean; readonly capacity: number; readonly grain: number }

/** Every field that a disk without relatives has, and the values it may have. Case matters, as it does to qemu. */
const FIELDS: ReadonlyMap<string, RegExp> = new Map([
  ['version', /^[1-3]$/],
  ['encoding', /^"[\w-]+"$/],
  ['CID', /^[0-9a-f]{1,8}$/i],
  ['parentCID', /^f{8}$/i],
  ['isNativeSnapshot', /^"no"$/],
  ['createType', /^"(monolithicSparse|streamOptimized)"$/]
])
/** Fields of the disk data base: geometry, adapter, UUIDs. */
const DATA_BASE = /^"[^"]*"$/
/** Fields that break a rule of their own. */
const RULES: ReadonlyMap<string, string> = new Map([
  ['parentCID', 'parent'],
  ['createType', 'descriptor_type']
])

/**
 * Checks the text that stands in a sparse extent. It is not needed to read the disk, but other programs go by it: so it
 * must be plain, describe this file alone, and mean the same to all of them. Throws ImageUnsafe.
 * @param area the sectors of the descriptor, filled up with NUL
 * @see "Virtual Disk Format 5.0", VMware, "The Descriptor File"
 */
export function checkDescriptor(area: Buffer, claims: Claims): void {
  const text = textOf(area)
  const lines = text.split('\n').map((line) => line.trim())
  if (lines[0] !== '# Disk DescriptorFile') throw new ImageUnsafe('descriptor_title', 'its descriptor has no title')
  refuseDecoys(text.toLowerCase())

  const names = new Set<string>()
  let extents = 0
  let createType = ''
  for (const line of lines) {
    if (line === '' || line.startsWith('#')) continue
    const [, name, value = ''] = /^([A-Za-z][\w.]*)\s*=\s*(.*)$/.exec(line) ?? []
    if (name === undefined) {
      checkExtent(line, claims)
      extents += 1
      continue
    }
    if (names.has(name.toLowerCase())) throw fieldTwice()
    names.add(name.toLowerCase())
    const allowed = name.startsWith('ddb.') ? DATA_BASE : FIELDS.get(name)
    if (!allowed?.test(value)) {
      throw new ImageUnsafe(RULES.get(name) ?? 'descriptor_field', 'its descriptor has a field that is not allowed')
    }
    if (name === 'createType') createType = value
  }
  if (extents !== 1) throw new ImageUnsafe('descriptor_extent', 'its descriptor does not have one extent')
  if (createType !== (claims.compressed ? '"streamOptimized"' : '"monolithicSparse"')) {
    throw new ImageUnsafe('descriptor_type', 'its createType contradicts its header')
  }
}

/** Hexadecimal digits of a content id. */
const ID_DIGITS = 8

function textOf(area: Buffer): string {
  const end = area.indexOf(0)
  // A reader with another idea of the area's length would find more text behind it.
  if (end === -1 || area.subarray(end + leftover(area, end)).some((byte) => byte !== 0)) {
    throw new ImageUnsafe('descriptor_end', 'its descriptor is not filled up with zeros')
  }
  const text = area.toString('latin1', 0, end)
  if (/[^\t\r\n\x20-\x7e]/.test(text)) throw new ImageUnsafe('descriptor_text', 'its descriptor is no plain ASCII')
  return text
}

/**
 * How far behind its end the text may go on. qemu writes a new content id without leading zeros, at every first write: when
 * that is shorter than the one before, the last bytes of the longer text stay, and repeat the end of the shorter one.
 * @see block/vmdk.c of QEMU, `vmdk_write_cid`
 */
function leftover(area: Buffer, end: number): number {
  const bytes = area.subarray(end + 1, end + ID_DIGITS)
  const length = bytes.indexOf(0)
  if (length <= 0) return 0
  return area.subarray(end - length, end).equals(bytes.subarray(0, length)) ? length + 1 : 0
}

/** qemu takes these words wherever it meets them first, be it in a comment; others do not care for their case. */
function refuseDecoys(text: string): void {
  if (text.includes('parentfilenamehint')) throw new ImageUnsafe('parent', 'it needs a parent image')
  for (const word of ['createtype', 'parentcid']) {
    if (text.indexOf(word) !== text.lastIndexOf(word)) throw fieldTwice()
  }
}

const fieldTwice = () => new ImageUnsafe('descriptor_twice', 'its descriptor has a field twice')

/** The name in it is the file's own when it was made, and is never looked up; a path or a URL has no business there. */
function checkExtent(line: string, { capacity, grain }: Claims): void {
  const [, sectors] = /^(?:RW|RDONLY)\s+(\d{1,15})\s+SPARSE\s+"[^"/\\:]+"$/.exec(line) ?? []
  // VirtualBox rounds the header's capacity up to whole grains, but not the extent's.
  if (sectors === undefined || Number(sectors) > capacity || Number(sectors) <= capacity - grain) {
    throw new ImageUnsafe('descriptor_extent', 'its descriptor names other files, or another size')
  }
}
