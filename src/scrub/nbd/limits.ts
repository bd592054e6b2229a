import { KiB, MiB } from '../../domain/bytes.ts'

/** What a request's offset and length are multiples of. */
export const BLOCK_BYTES = 512
export const PREFERRED_BYTES = 64 * KiB
/** Of one read or write; the protocol's own word for it is the largest payload. */
export const MAX_REQUEST_BYTES = 32 * MiB

/** There are flags; flush, trim and write zeroes may be sent. */
export const TRANSMISSION_FLAGS = 1 | 4 | 32 | 64
