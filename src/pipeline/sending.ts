import type { Part, Upload } from '../destinations/destination.ts'
import type { Retries } from './retries.ts'

/** Where one attempt sends its file, and how often it may try. */
export type Sending = {
  readonly upload: Upload
  readonly retries: Retries
  readonly signal: AbortSignal
  /** When it fires no further part is begun: those under way are sent to their end, and the transfer throws its reason. */
  readonly draining?: AbortSignal | undefined
}

/** The file in parts of `partBytes`, the last one shorter. */
export function* partsOf(length: number, partBytes: number): Generator<Part> {
  let number = 0
  for (let offset = 0; offset < length; offset += partBytes) {
    number++
    yield { number, offset, length: Math.min(partBytes, length - offset) }
  }
}
