import type { Hashers } from '../hashing/hashers.ts'
import type { Buffers } from './buffers.ts'
import type { Compressors } from './compressors.ts'

/** What the exports of a process share: threads beside the main one, and memory. */
export type Engine = { readonly compressors: Compressors; readonly hashers: Hashers; readonly buffers: Buffers }
