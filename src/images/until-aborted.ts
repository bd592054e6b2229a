import type { ByteSource } from '../domain/bytes.ts'

/** Passes chunks on and throws the signal's reason as soon as it fires, even while the source keeps us waiting. */
export async function* untilAborted(source: ByteSource, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  signal.throwIfAborted()
  const chunks = source[Symbol.asyncIterator]()
  // One promise a chunk: racing each against one long-lived promise would pile up reactions on it, one a chunk.
  let stopWaiting: (reason: unknown) => void = () => {}
  const onAbort = () => stopWaiting(signal.reason)
  signal.addEventListener('abort', onAbort)
  let ended = false
  try {
    for (;;) {
      const next = await new Promise<IteratorResult<Uint8Array>>((resolve, reject) => {
        stopWaiting = reject
        chunks.next().then(resolve, reject)
      })
      signal.throwIfAborted()
      if (next.done) {
        ended = true
        return
      }
      yield next.value
      signal.throwIfAborted()
    }
  } finally {
    signal.removeEventListener('abort', onAbort)
    // Not awaited: a generator that waits for its own source answers `return` only after that wait.
    if (!ended) chunks.return?.().catch(() => {})
  }
}
