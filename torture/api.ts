import { setTimeout as sleep } from 'node:timers/promises'
import type { Json } from '../test/support/service.ts'

export type Answer = { readonly status: number; readonly body: Json }

/** Asked again for so long; nothing that happens to the API here lasts longer. */
const PATIENCE_MS = 60_000
const ANSWER_LIMIT_MS = 30_000
/** The service says that it cannot answer now; anything else from 500 on is a fault of its own. */
const COME_BACK = [429, 503]

/** A client as clients should be: it asks again where it was not answered, or asked to come back. */
export class Api {
  readonly url: string
  /** How long answered requests took, in milliseconds. */
  readonly tookMs: number[] = []
  /** Answers that should not be. */
  readonly faults: string[] = []
  unanswered = 0
  refused = 0

  constructor(url: string) {
    this.url = url
  }

  /** @param headers with an Idempotency-Key where doing it twice would be wrong */
  async call(
    project: string,
    method: string,
    path: string,
    body?: Json | Buffer,
    headers: Readonly<Record<string, string>> = {}
  ): Promise<Answer> {
    const giveUpAt = Date.now() + PATIENCE_MS
    for (;;) {
      const answer = await this.#once(project, method, path, body, headers)
      if (answer && !COME_BACK.includes(answer.status)) return answer
      if (Date.now() > giveUpAt)
        throw new Error(`${method} ${path}: no answer but ${answer?.status} in ${PATIENCE_MS} ms`)
      await sleep(100)
    }
  }

  async #once(
    project: string,
    method: string,
    path: string,
    body: Json | Buffer | undefined,
    headers: Readonly<Record<string, string>>
  ): Promise<Answer | undefined> {
    const startedAt = performance.now()
    const bytes = Buffer.isBuffer(body)
    try {
      const response = await fetch(this.url + path, {
        method,
        headers: {
          'x-auth-token': `user:${project}:member`,
          ...(body !== undefined && { 'content-type': bytes ? 'application/octet-stream' : 'application/json' }),
          ...headers
        },
        ...(body !== undefined && { body: bytes ? new Uint8Array(body) : JSON.stringify(body) }),
        signal: AbortSignal.timeout(ANSWER_LIMIT_MS)
      })
      const text = await response.text()
      this.tookMs.push(performance.now() - startedAt)
      const { status } = response
      if (COME_BACK.includes(status)) this.refused += 1
      else if (status >= 500) this.faults.push(`${method} ${path.replace(/[0-9a-f-]{36}/, '<id>')}: ${status} ${text}`)
      return { status, body: text === '' ? {} : JSON.parse(text) }
    } catch {
      this.unanswered += 1 // the API was killed, or is not there yet
      return undefined
    }
  }
}
