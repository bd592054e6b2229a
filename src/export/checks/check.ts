import type { DestinationCheck } from '../../destinations/destination.ts'
import { CheckTimedOut } from '../../domain/export-errors.ts'
import type { Warning } from '../../domain/task.ts'

export type CheckId =
  | 'image.active'
  | 'image.exportable'
  | 'scrub'
  | 'format.supported'
  | 'format.limit'
  | 'dest.address_allowed'
  | DestinationCheck['id']
  | 'dest.collision'
  | 'dest.read_back'
  | 'quota'
  | 'credentials.lifetime'

/** Facts for the user, without secrets. */
export type Detail = Readonly<Record<string, string | number>>

/** What a passed check has to say. `nothingToAsk`: it does not apply to this export. */
export type Passed = { readonly detail?: Detail | undefined; readonly warning?: Warning; readonly nothingToAsk?: true }

/** One question. `run` throws ExportError when the export cannot work. */
export type Check = {
  readonly id: CheckId
  /** Checks that this one rests on. */
  readonly needs: readonly CheckId[]
  readonly run: (signal: AbortSignal) => Promise<Passed>
}

/** For a check that is told to end: it may have something to remove. */
const LAST_WORDS_MS = 5_000

/** Runs one check with a limit on its time. */
export async function runCheck(check: Check, limitMs: number | undefined, signal: AbortSignal): Promise<Passed> {
  signal.throwIfAborted()
  if (limitMs === undefined) return check.run(signal)
  const { promise: late, reject } = Promise.withResolvers<never>()
  const stop = new AbortController()
  const timer = setTimeout(() => stop.abort(new CheckTimedOut(limitMs / 1000)), limitMs)
  const either = AbortSignal.any([signal, stop.signal])
  const end = () => setTimeout(() => reject(either.reason), LAST_WORDS_MS).unref()
  either.addEventListener('abort', end, { once: true })
  try {
    return await Promise.race([check.run(either), late])
  } catch (error) {
    either.throwIfAborted()
    throw error
  } finally {
    clearTimeout(timer)
  }
}
