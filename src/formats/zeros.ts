import type { Layout } from './format.ts'
import { joined, literal } from './layout.ts'

/** Bytes that stand for nothing: padding and empty regions. */
export const zeros = (length: number): Layout => ({
  length,
  *segments(from, to) {
    if (from < to) yield { kind: 'zero', length: to - from }
  }
})

/** `bytes`, then zeros up to `length`. */
export const padded = (bytes: Uint8Array, length: number): Layout =>
  joined(literal(bytes), zeros(length - bytes.length))
