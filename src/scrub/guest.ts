/** Names and paths are the guest's own bytes, one character a byte (latin1): they may hold anything but NUL and `/`. */
export type GuestEntry = {
  readonly name: string
  readonly kind: 'file' | 'folder' | 'link' | 'other'
  /** Of a file's content. */
  readonly bytes: number
  /** Permission bits. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
}

/**
 * The files of a guest, mounted as its own /etc/fstab would have them as far as this is known. Paths begin with `/`; no
 * link is ever followed, not even in the middle of a path. Everything is bounded: Refused where there is more than is read.
 */
export interface GuestFiles {
  /** Undefined where there is nothing. */
  stat(path: string): Promise<GuestEntry | undefined>
  /** Without `.` and `..`; empty where there is no such folder. */
  list(folder: string): Promise<readonly GuestEntry[]>
  /** The whole of a file of at most `limit` bytes; undefined for a longer one, and for what is no file. */
  read(path: string, limit: number): Promise<Buffer | undefined>
  /** How a file begins: `bytes` of it, at most 64 KiB, or all of a shorter one; undefined for what is no file. */
  head(path: string, bytes: number): Promise<Buffer | undefined>
}

/** What a step wants changed. */
export type GuestChange =
  /** A file, link or special file; or a folder with all below it. */
  | { readonly kind: 'remove'; readonly path: string }
  /** A file stays without a byte; a folder stays with nothing in it. */
  | { readonly kind: 'empty'; readonly path: string }
  /** A file's whole content; its owner and mode stay, and are root's and `mode` where it is new. Its folder has to be there. */
  | { readonly kind: 'write'; readonly path: string; readonly bytes: Buffer; readonly mode: number }
  /** A file's bytes from `from` on are zeros; its length, and where it lies, stay. */
  | { readonly kind: 'blank'; readonly path: string; readonly from: number }
