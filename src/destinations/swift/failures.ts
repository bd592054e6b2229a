import type { DestinationError } from '../../domain/destination-errors.ts'
import { failure, retryAfterMs, situationOfStatus } from '../failures.ts'
import type { Answer } from '../put.ts'
import type { Situation } from '../situations.ts'

/**
 * Statuses that mean another thing to Swift than to other servers.
 * @see https://docs.openstack.org/api-ref/object-store/
 */
const BY_STATUS: Readonly<Record<number, Situation>> = {
  // A write with an older time stamp than the one that is there, or a container that is being deleted.
  409: 'throttled',
  411: 'misused',
  422: 'bytesDiffer',
  // Swift's ratelimit middleware.
  498: 'throttled',
  // One disk is full: the next try goes to another.
  507: 'throttled'
}

export type Refusal = Pick<Answer, 'status' | 'headers' | 'body'>

/** What an answer that is no success means. `host` is the host and port of the object store. */
export function swiftFailure(host: string, answer: Refusal): DestinationError {
  return failure(situationOf(answer), host, { status: answer.status, retryAfterMs: retryAfterMs(answer.headers) })
}

function situationOf({ status, body }: Refusal): Situation {
  // The quota middlewares answer as for an object that is too large, in other words.
  if (status === 413 && /quota/i.test(body)) return 'quotaExceeded'
  return BY_STATUS[status] ?? situationOfStatus(status)
}

/** What the answer of a login service that is no success means. */
export function loginFailure(host: string, answer: Refusal): DestinationError {
  const { status } = answer
  if (status === 400 || status === 401 || status === 403) return failure('unauthorized', host, { status })
  if (status >= 300 && status < 500 && ![408, 425, 429].includes(status)) return failure('noLogin', host, { status })
  return swiftFailure(host, answer)
}

/**
 * What the errors say with which SLO refuses a manifest: pairs of a segment and what is wrong with it.
 * @see https://docs.openstack.org/swift/latest/middleware.html#static-large-objects
 */
export function manifestFailure(host: string, status: number, problems: string): DestinationError {
  // With the spaces: names of segments, which are in the text too, have none.
  if (/(?:Etag|Size) Mismatch/i.test(problems)) return failure('bytesDiffer', host, { status })
  if (/404 Not Found/i.test(problems)) return failure('uploadGone', host, { status })
  if (status === 400) return failure('misused', host, { status })
  return swiftFailure(host, { status, headers: {}, body: problems })
}
