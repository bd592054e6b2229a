import type { Range } from '../../../disks/disk.ts'

const ENTRY_BYTES = 32
const DELETED = 0xe5
const LONG_NAME = 0x0f
const LABEL = 0x08
const FOLDER = 0x10

/** What bears on clusters of an entry; `cluster` is 0 when a file has none. */
export type FolderEntry =
  | { readonly kind: 'file'; readonly cluster: number; readonly bytes: number }
  | { readonly kind: 'folder'; readonly cluster: number }
  | { readonly kind: 'end' }

/** Entries of files that were deleted, but for the byte that says so, and all behind the last entry; in bytes of the part. */
export function* deletedIn(bytes: Buffer): Generator<Range, void> {
  for (let at = 0; at + ENTRY_BYTES <= bytes.length; at += ENTRY_BYTES) {
    if (bytes[at] === 0) return yield { offset: at, length: bytes.length - at }
    if (bytes[at] === DELETED) yield { offset: at + 1, length: ENTRY_BYTES - 1 }
  }
}

/** Files and folders named in a part of a folder, but not the folder itself and the one above it. */
export function* entriesIn(bytes: Buffer, fatBits: 12 | 16 | 32): Generator<FolderEntry, void> {
  for (let at = 0; at + ENTRY_BYTES <= bytes.length; at += ENTRY_BYTES) {
    const first = bytes[at] ?? 0
    const attributes = bytes[at + 11] ?? 0
    if (first === 0) return yield { kind: 'end' }
    if (first === DELETED || (attributes & 0x3f) === LONG_NAME || (attributes & LABEL) !== 0) continue
    const high = fatBits === 32 ? bytes.readUInt16LE(at + 20) : 0
    const cluster = high * 2 ** 16 + bytes.readUInt16LE(at + 26)
    if ((attributes & FOLDER) === 0) yield { kind: 'file', cluster, bytes: bytes.readUInt32LE(at + 28) }
    else if (!isDots(bytes, at)) yield { kind: 'folder', cluster }
  }
}

const isDots = (bytes: Buffer, at: number): boolean =>
  ['.          ', '..         '].includes(bytes.toString('latin1', at, at + 11))
