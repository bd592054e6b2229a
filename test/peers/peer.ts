import { describe, inject } from 'vitest'
import type { PeerName } from './servers/registry.ts'

/** What the desk answers: the peer's description, or why there is none. */
export type DeskAnswer = { readonly peer: object } | { readonly missing: string } | { readonly error: string }

/** A real server that cannot be had on this machine. `scripts/test` installs them all where it may. */
class PeerMissing extends Error {
  override readonly name = 'PeerMissing'

  constructor(peer: PeerName, reason: string) {
    super(`${peer} is not here: ${reason}`)
  }
}

/**
 * A server for this test, started when the first test of the run asks for it. Tests of other files use the same one at the
 * same time, so every test makes containers, buckets and folders of its own. It ends with the run; disposing of it does
 * nothing.
 * @throws PeerMissing
 */
export async function peer<T extends object>(name: PeerName, options: object = {}): Promise<T & AsyncDisposable> {
  const response = await fetch(inject('peerDesk'), { method: 'POST', body: JSON.stringify({ name, options }) })
  const answer = (await response.json()) as DeskAnswer
  if ('missing' in answer) throw new PeerMissing(name, answer.missing)
  if ('error' in answer) throw new Error(answer.error)
  return { ...(answer.peer as T), [Symbol.asyncDispose]: async () => {} }
}

/** As `describe`. Without one of the servers the tests are skipped, and the run says at its end how many, and why. */
export function describeWithPeers(peers: readonly PeerName[], name: string, body: () => void): void {
  const missing = inject('missingPeers')
  const reason = peers.flatMap((peer) => missing[peer] ?? []).join('; ')
  if (reason) describe.skip(name, { meta: { skipReason: reason } }, body)
  else describe(name, body)
}

declare module 'vitest' {
  interface ProvidedContext {
    /** URL of the desk that starts the real servers. */
    peerDesk: string
    /** Why a server cannot be had here, by its name. */
    missingPeers: Partial<Record<PeerName, string>>
  }
  interface TaskMeta {
    skipReason?: string
  }
}
