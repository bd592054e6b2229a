import { MiB } from '../domain/bytes.ts'

const ZEROS = Buffer.alloc(MiB)

/** Compares a MiB at a time, which is many times faster than looking at each byte. */
export function isZero(bytes: Buffer): boolean {
  for (let at = 0; at < bytes.length; at += ZEROS.length) {
    const part = bytes.subarray(at, at + ZEROS.length)
    if (!part.equals(ZEROS.subarray(0, part.length))) return false
  }
  return true
}
