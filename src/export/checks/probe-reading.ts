import { randomBytes } from 'node:crypto'
import type { Destination, UploadTarget } from '../../destinations/destination.ts'
import { failure } from '../../destinations/failures.ts'
import { ExportError } from '../../domain/errors.ts'
import { besideIt } from '../requests/key-template.ts'
import { writeSmall } from '../write-small.ts'
import { placeName } from './collision.ts'

/** Also where the check was told to end. */
const REMOVAL_MS = 5_000

const PROBE = Buffer.from('Written to see whether an export can be read back here. May be removed.\n')

/**
 * Writes a tiny object beside the target, reads it and removes it: where what is not there cannot be told from what may not be
 * seen, nothing else says whether the export could be read back.
 * @throws DestinationError where it cannot be
 */
export async function probeReading(destination: Destination, target: UploadTarget, signal: AbortSignal): Promise<void> {
  const { length } = PROBE
  const url = besideIt(target.url, `.probe-${randomBytes(6).toString('hex')}`)
  const probe = { ...target, length, url, mediaType: 'text/plain', object: { ...target.object, replace: true } }
  await writeSmall(destination, probe, PROBE, signal)
  try {
    for await (const _chunk of destination.read(probe, { from: 0, to: length }, signal));
  } catch (cause) {
    signal.throwIfAborted()
    if (cause instanceof ExportError && !cause.permanent) throw cause
    throw failure('writeOnly', placeName(target.url), { cause })
  } finally {
    await destination.remove(probe, AbortSignal.timeout(REMOVAL_MS)).catch(() => {}) // who may not remove it may still export
  }
}
