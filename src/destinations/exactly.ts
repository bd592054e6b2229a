import type { ByteSource } from '../domain/bytes.ts'
import { SourceReadFailed } from '../domain/errors.ts'

/**
 * The chunks of `body`, which has to give exactly `length` bytes. Ends as soon as `signal` has fired.
 * @throws SourceReadFailed when it gives fewer or more; the reason of `signal`
 */
export async function* exactly(body: ByteSource, length: number, signal: AbortSignal): ByteSource {
  signal.throwIfAborted()
  let given = 0
  for await (const chunk of body) {
    signal.throwIfAborted()
    given += chunk.length
    if (given > length) throw new SourceReadFailed(`it gave more than the ${length} bytes that were promised`)
    yield chunk
    signal.throwIfAborted()
  }
  if (given < length) throw new SourceReadFailed(`it ended after ${given} of ${length} bytes`)
}
