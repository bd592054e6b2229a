import type { Upload } from '../../src/destinations/destination.ts'
import { Retries, type RetryRules } from '../../src/pipeline/retries.ts'
import type { Sending } from '../../src/pipeline/sending.ts'
import type { Wants } from '../../src/pipeline/wants.ts'

/** Tries as often as the service, and waits for nothing; says how long it would have. */
export function impatientRules(changes: Partial<RetryRules> = {}): RetryRules & { readonly waits: number[] } {
  const waits: number[] = []
  return {
    tries: 8,
    random: () => 0.5,
    wait: async (ms, signal) => {
      waits.push(ms)
      await new Promise(setImmediate)
      signal.throwIfAborted()
    },
    waits,
    ...changes
  }
}

export const NOTHING_MORE: Wants = { digests: [], contentHash: false }

/** What a transfer needs besides the file. */
export function sendingTo(
  upload: Upload,
  signal = new AbortController().signal,
  rules: RetryRules = impatientRules()
): Sending {
  return { upload, signal, retries: new Retries(rules, { length: 0, parts: 1 }) }
}
