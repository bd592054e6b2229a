import { DestinationError, type DestinationFailure } from '../domain/destination-errors.ts'
import type { Actor } from '../domain/task.ts'

type Row = {
  readonly code: DestinationFailure
  readonly permanent: boolean
  readonly actor: Actor
  /** What follows the name of the host: what happened, whose turn it is, what to do. */
  readonly says: string
}

const row = (code: DestinationFailure, lasts: 'permanent' | 'passing', actor: Actor, says: string): Row => ({
  code,
  permanent: lasts === 'permanent',
  actor,
  says
})

/**
 * Everything that can go wrong at a destination. Refused, closed and filtered ports read the same on purpose: the service
 * shall not be a port scanner.
 */
const ROWS = {
  addressForbidden: row(
    'DEST_ADDRESS_FORBIDDEN',
    'permanent',
    'user',
    'has an address that this service may not reach: name a public endpoint, or ask the operator to allow it.'
  ),
  nameUnknown: row('DEST_DNS_FAILED', 'passing', 'user', 'is not known to the DNS: check the name in export_to.'),
  dnsSilent: row(
    'DEST_DNS_FAILED',
    'passing',
    'operator',
    'could not be looked up because the DNS did not answer: try again later, or tell the operator.'
  ),
  unreachable: row(
    'DEST_UNREACHABLE',
    'passing',
    'destination',
    'could not be reached: check that it is up and accepts connections from this service.'
  ),
  brokenOff: row(
    'DEST_UNREACHABLE',
    'passing',
    'destination',
    'broke the connection off before it had answered: check its log.'
  ),
  stalled: row(
    'DEST_UNREACHABLE',
    'passing',
    'destination',
    'stopped taking bytes: check that it is not overloaded or out of space.'
  ),
  noAnswer: row(
    'DEST_UNREACHABLE',
    'passing',
    'destination',
    'took everything and did not answer in time: check its log.'
  ),
  requestTimedOut: row(
    'DEST_UNREACHABLE',
    'passing',
    'destination',
    'gave up waiting for bytes: check the network between it and this service.'
  ),
  notHttp: row(
    'DEST_REJECTED',
    'passing',
    'destination',
    'sent an answer that is not valid HTTP: check what listens there.'
  ),
  certificateExpired: row(
    'DEST_TLS_UNTRUSTED',
    'permanent',
    'destination',
    'has a certificate that is expired or not valid yet: its owner has to renew it.'
  ),
  certificateOfOther: row(
    'DEST_TLS_UNTRUSTED',
    'permanent',
    'destination',
    'has a certificate for another name: use the name in the certificate, or have it reissued.'
  ),
  certificateUntrusted: row(
    'DEST_TLS_UNTRUSTED',
    'permanent',
    'destination',
    'has a certificate that this service does not trust: use a public authority, or ask the operator to add yours.'
  ),
  tlsFailed: row(
    'DEST_TLS_UNTRUSTED',
    'permanent',
    'destination',
    'does not speak TLS 1.2 or later at this port: check the scheme and the port of the URL.'
  ),
  redirected: row(
    'DEST_REJECTED',
    'permanent',
    'user',
    'answered with a redirect, and redirects are not followed: give the final URL.'
  ),
  badRequest: row(
    'DEST_REJECTED',
    'permanent',
    'user',
    'refused the request: check export_to and the settings in export_to_credentials.'
  ),
  unauthorized: row('DEST_AUTH_FAILED', 'permanent', 'user', 'does not accept the credentials: send valid ones.'),
  forbidden: row(
    'DEST_FORBIDDEN',
    'permanent',
    'user',
    'does not let these credentials write there: grant the right to write, or use others.'
  ),
  notFound: row(
    'DEST_CONTAINER_NOT_FOUND',
    'permanent',
    'user',
    'has no such container or folder: create it, or correct export_to.'
  ),
  methodNotAllowed: row(
    'DEST_REJECTED',
    'permanent',
    'user',
    'does not offer what an export needs: choose another destination.'
  ),
  objectExists: row(
    'DEST_OBJECT_EXISTS',
    'permanent',
    'user',
    'holds an object of this name already: choose another path.'
  ),
  conflict: row(
    'DEST_REJECTED',
    'permanent',
    'user',
    'reports a conflict: check that the folder in export_to exists and is not locked.'
  ),
  tooLarge: row(
    'DEST_LIMIT_EXCEEDED',
    'permanent',
    'user',
    'does not take an object of this size: raise its limit, or choose another destination.'
  ),
  quotaExceeded: row(
    'DEST_QUOTA_EXCEEDED',
    'permanent',
    'user',
    'has no room left for this export: free space or raise the quota.'
  ),
  throttled: row('DEST_THROTTLED', 'passing', 'destination', 'asks to slow down: the export is tried again later.'),
  serverError: row(
    'DEST_REJECTED',
    'passing',
    'destination',
    'failed with an error of its own: check its log if it stays.'
  ),
  clockSkewed: row(
    'DEST_AUTH_FAILED',
    'passing',
    'operator',
    'has another time than this service: one of the two clocks has to be set.'
  ),
  wrongRegion: row(
    'DEST_REJECTED',
    'permanent',
    'user',
    'keeps this bucket in another region: set region and endpoint in export_to_credentials.'
  ),
  earlySuccess: row(
    'DEST_INTEGRITY_MISMATCH',
    'passing',
    'destination',
    'reported success before it had all bytes: check what answers there.'
  ),
  bytesDiffer: row(
    'DEST_INTEGRITY_MISMATCH',
    'passing',
    'destination',
    'acknowledged other bytes than were sent: check its storage and the network.'
  ),
  noReceipt: row(
    'DEST_INTEGRITY_MISMATCH',
    'passing',
    'destination',
    'did not say what it received (no ETag): check that it is an S3 server.'
  ),
  lengthDiffers: row(
    'DEST_INTEGRITY_MISMATCH',
    'passing',
    'destination',
    'holds an object of another length than was sent: check its storage.'
  ),
  uploadGone: row(
    'DEST_COMMIT_FAILED',
    'passing',
    'destination',
    'has forgotten the upload: check that nothing there removes unfinished uploads.'
  ),
  outcomeUnknown: row(
    'DEST_COMMIT_FAILED',
    'passing',
    'destination',
    'did not say whether the object was completed: it is tried again.'
  ),
  misused: row(
    'DEST_REJECTED',
    'permanent',
    'operator',
    'refused the way the object was put together: tell the operator, this is a fault of the service.'
  )
} as const satisfies Record<string, Row>

/** What happened, in one word. */
export type Situation = keyof typeof ROWS

/**
 * The one way to make a DestinationError.
 * @param host host and port as the user wrote them, never a whole URL
 */
export function failure(
  what: Situation,
  host: string,
  more: { status?: number; cause?: unknown } = {}
): DestinationError {
  const { code, permanent, actor, says } = ROWS[what]
  const upstream = more.status === undefined ? {} : { upstreamStatus: more.status }
  const options = more.cause === undefined ? {} : { cause: more.cause }
  return new DestinationError({ code, permanent, actor, ...upstream }, `${host} ${says}`, options)
}

const BY_STATUS: Readonly<Record<number, Situation>> = {
  401: 'unauthorized',
  403: 'forbidden',
  404: 'notFound',
  405: 'methodNotAllowed',
  407: 'unauthorized',
  408: 'requestTimedOut',
  409: 'conflict',
  410: 'notFound',
  412: 'objectExists',
  413: 'tooLarge',
  425: 'throttled',
  429: 'throttled',
  501: 'methodNotAllowed',
  503: 'throttled',
  505: 'methodNotAllowed',
  507: 'quotaExceeded'
}

/** What an HTTP status that is no success means. */
export function situationOfStatus(status: number): Situation {
  const listed = BY_STATUS[status]
  if (listed !== undefined) return listed
  if (status >= 500) return 'serverError'
  if (status >= 400) return 'badRequest'
  return status >= 300 ? 'redirected' : 'notHttp'
}

export const statusFailure = (host: string, status: number): DestinationError =>
  failure(situationOfStatus(status), host, { status })

const BY_NODE_CODE: Readonly<Record<string, Situation>> = {
  ENOTFOUND: 'nameUnknown',
  EAI_NONAME: 'nameUnknown',
  ENODATA: 'nameUnknown',
  EAI_AGAIN: 'dnsSilent',
  EAI_FAIL: 'dnsSilent',
  ECONNREFUSED: 'unreachable',
  EHOSTUNREACH: 'unreachable',
  EHOSTDOWN: 'unreachable',
  ENETUNREACH: 'unreachable',
  ENETDOWN: 'unreachable',
  EADDRNOTAVAIL: 'unreachable',
  EACCES: 'unreachable',
  EPERM: 'unreachable',
  ETIMEDOUT: 'unreachable',
  ERR_SOCKET_CONNECTION_TIMEOUT: 'unreachable',
  ECONNRESET: 'brokenOff',
  ECONNABORTED: 'brokenOff',
  EPIPE: 'brokenOff',
  ERR_SOCKET_CLOSED: 'brokenOff',
  ERR_STREAM_DESTROYED: 'brokenOff',
  ERR_STREAM_PREMATURE_CLOSE: 'brokenOff',
  CERT_HAS_EXPIRED: 'certificateExpired',
  CERT_NOT_YET_VALID: 'certificateExpired',
  ERR_TLS_CERT_ALTNAME_INVALID: 'certificateOfOther',
  HOSTNAME_MISMATCH: 'certificateOfOther',
  CERT_CHAIN_TOO_LONG: 'certificateUntrusted',
  CERT_REJECTED: 'certificateUntrusted',
  CERT_REVOKED: 'certificateUntrusted',
  CERT_SIGNATURE_FAILURE: 'certificateUntrusted',
  CERT_UNTRUSTED: 'certificateUntrusted',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'certificateUntrusted',
  INVALID_CA: 'certificateUntrusted',
  INVALID_PURPOSE: 'certificateUntrusted',
  SELF_SIGNED_CERT_IN_CHAIN: 'certificateUntrusted',
  UNABLE_TO_GET_ISSUER_CERT: 'certificateUntrusted',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'certificateUntrusted',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'certificateUntrusted',
  EPROTO: 'tlsFailed'
}

/** What an error of Node's sockets, TLS, DNS or HTTP parser means. An error that is a DestinationError already stays as it is. */
export function networkFailure(host: string, error: unknown): DestinationError {
  if (error instanceof DestinationError) return error
  return failure(situationOfNodeCode(codeOf(error)), host, { cause: error })
}

function situationOfNodeCode(code: string): Situation {
  const listed = BY_NODE_CODE[code]
  if (listed !== undefined) return listed
  if (code.startsWith('HPE_')) return 'notHttp'
  if (code.startsWith('ERR_SSL_') || code.startsWith('ERR_TLS_')) return 'tlsFailed'
  return 'brokenOff'
}

/** Connecting to several addresses fails with an AggregateError; the first of its errors tells as much as we need. */
function codeOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return codeOf(error.errors[0])
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}
