import { RequestRefused } from './errors.ts'

/** What openapi-fetch gives for a call. */
type Call<T> = { readonly data?: T; readonly error?: unknown; readonly response: Response }

export type Attempt<T> = {
  /** Absent when there was no answer, or only half of one. */
  readonly response?: Response
  /** Absent with 304. */
  readonly data?: T
  /** What may be over the next time. */
  readonly trouble?: Error
}

/**
 * Makes one call.
 * @throws RequestRefused where asking again will not help
 * @throws the reason of `signal`
 */
export async function attempt<T>(signal: AbortSignal | undefined, call: () => Promise<Call<T>>): Promise<Attempt<T>> {
  try {
    const { data, error, response } = await call()
    if (data !== undefined) return { response, data }
    if (response.status === 304) return { response }
    const refused = new RequestRefused(response, error)
    if (isPassing(refused)) return { response, trouble: refused }
    throw refused
  } catch (error) {
    signal?.throwIfAborted()
    if (error instanceof TypeError) return { trouble: error } // what fetch throws
    throw error
  }
}

const isPassing = ({ status, code }: RequestRefused): boolean =>
  status === 408 || status === 429 || status >= 500 || code === 'IDEMPOTENCY_KEY_BUSY'
