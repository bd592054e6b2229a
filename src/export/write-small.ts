import type { Destination, UploadTarget } from '../destinations/destination.ts'
import { oneChunk } from '../domain/bytes.ts'
import type { Retries } from '../pipeline/retries.ts'

/**
 * Writes an object that is small enough for one part. What there is of one that could not be written is removed.
 * @param target its length is that of `bytes`
 * @param retries absent: nothing is tried twice
 * @returns where it is
 */
export async function writeSmall(
  destination: Pick<Destination, 'open'>,
  target: Omit<UploadTarget, 'length' | 'exact' | 'virtual'>,
  bytes: Uint8Array,
  signal: AbortSignal,
  retries?: Retries
): Promise<string> {
  const { length } = bytes
  const run = <T>(call: () => Promise<T>): Promise<T> => (retries ? retries.run(signal, call) : call())
  const upload = await destination.open({ ...target, length, exact: true, virtual: false }, signal)
  try {
    await run(() => upload.putPart({ number: 1, offset: 0, length }, oneChunk(bytes), signal))
    return (await run(() => upload.commit(signal))).location
  } catch (error) {
    await upload.abort().catch(() => {}) // why it could not be written is what is told
    throw error
  }
}
