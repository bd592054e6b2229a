const FIRST_MS = 1000
const LONGEST_MS = 30_000
/** What a service may ask for at most: longer is a mistake, and nobody would see the end of it. */
const LONGEST_ASKED_MS = 10 * 60_000
const SHORTEST_MS = 100

/** Pauses between requests: as long as the service asks for, otherwise longer each time. Two clients never stay in step. */
export class Pauses {
  #nextMs = FIRST_MS

  /** Something has changed: the next pause is a short one again. */
  reset(): void {
    this.#nextMs = FIRST_MS
  }

  /** Milliseconds until the next request. */
  after(response: Response | undefined): number {
    const asked = retryAfterMs(response)
    if (asked !== undefined) return Math.min(Math.max(asked, SHORTEST_MS), LONGEST_ASKED_MS) * (1 + Math.random() / 10)
    const pause = this.#nextMs * (0.5 + Math.random() / 2)
    this.#nextMs = Math.min(this.#nextMs * 1.5, LONGEST_MS)
    return pause
  }
}

/** RFC 9110 section 10.2.3: seconds, or a date. Undefined without one, and for what is neither. */
function retryAfterMs(response: Response | undefined): number | undefined {
  const text = response?.headers.get('retry-after')
  if (!text) return undefined
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now()
  return Number.isNaN(ms) ? undefined : Math.max(ms, 0)
}

/** Rejects with the signal's reason as soon as it is aborted. */
export function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const aborted = () => {
      clearTimeout(timer)
      reject(signal?.reason)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', aborted)
      resolve()
    }, ms)
    if (signal?.aborted) aborted()
    else signal?.addEventListener('abort', aborted, { once: true })
  })
}
