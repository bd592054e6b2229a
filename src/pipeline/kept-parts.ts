import type { SentPart, Upload } from '../destinations/destination.ts'

/**
 * The upload, without sending again what it has kept from an earlier attempt. The bytes of such a part are made all the same,
 * as the digests of the whole need them; a part that comes out with another length than it was kept with is sent.
 */
export function withKeptParts(upload: Upload, kept: readonly SentPart[]): Upload {
  const parts = new Map(kept.map((part) => [part.number, part]))
  return {
    partBytes: upload.partBytes,
    parallel: upload.parallel,
    state: upload.state,
    async putPart(part, body, signal) {
      const before = parts.get(part.number)
      if (before?.bytes !== part.length) return upload.putPart(part, body, signal)
      for await (const _chunk of body) signal.throwIfAborted()
      return before
    },
    commit: (signal) => upload.commit(signal),
    abort: () => upload.abort()
  }
}
