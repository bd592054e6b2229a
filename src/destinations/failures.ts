import { DestinationError } from '../domain/destination-errors.ts'
import { SITUATIONS, type Situation } from './situations.ts'

/**
 * The one way to make a DestinationError.
 * @param host host and port as the user wrote them, never a whole URL
 */
export function failure(
  what: Situation,
  host: string,
  more: {
    status?: number
    retryAfterMs?: number | undefined
    cause?: unknown
    /** What the last word of the message stands for, where that is `it`; the user's own text. */
    it?: string | undefined
  } = {}
): DestinationError {
  const { code, permanent, actor, says } = SITUATIONS[what]
  const upstream = {
    host,
    ...(more.status !== undefined && { upstreamStatus: more.status }),
    ...(more.retryAfterMs !== undefined && { retryAfterMs: more.retryAfterMs })
  }
  const options = more.cause === undefined ? {} : { cause: more.cause }
  const said = more.it === undefined ? says : says.replace(/\bit\.$/, () => `${JSON.stringify(more.it)}.`)
  return new DestinationError({ code, permanent, actor, ...upstream }, `${host} ${said}`, options)
}

/** The same failure with another way out of it, which follows an `or`. */
export function orElse(error: DestinationError, advice: string): DestinationError {
  const { code, permanent, actor, upstreamStatus, host, retryAfterMs } = error
  const facts = {
    code,
    permanent,
    actor,
    ...(host !== undefined && { host }),
    ...(upstreamStatus !== undefined && { upstreamStatus }),
    ...(retryAfterMs !== undefined && { retryAfterMs })
  }
  return new DestinationError(facts, `${error.message.replace(/\.$/, '')}; or ${advice}.`, { cause: error })
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
  414: 'nameTooLong',
  423: 'locked',
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

/** What an answer that is no success means, with the pause it asks for (`Retry-After`, RFC 9110 10.2.3). */
export const answerFailure = (host: string, answer: Refusal): DestinationError =>
  failure(situationOfStatus(answer.status), host, { status: answer.status, retryAfterMs: retryAfterMs(answer.headers) })

type Refusal = { readonly status: number; readonly headers: Readonly<Record<string, string | string[] | undefined>> }

/** Milliseconds; undefined when absent or not to be read. */
export function retryAfterMs(headers: Refusal['headers'], now = Date.now()): number | undefined {
  const text = String(headers['retry-after'] ?? '')
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000
  // Date.parse takes much that is no date of HTTP.
  const at = /^[A-Z][a-z]{2,8},? /.test(text) ? Date.parse(text) : Number.NaN
  return Number.isNaN(at) ? undefined : Math.max(0, at - now)
}

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
  EPROTO: 'tlsFailed',
  // Before TLS 1.3 all that a server says that wants a certificate.
  ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE: 'handshakeRefused',
  // Alerts that only a server sends that is not content with our certificate (RFC 8446 6.2).
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: 'clientCertificateMissing',
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: 'clientCertificateRefused',
  ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE: 'clientCertificateRefused',
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED: 'clientCertificateRefused',
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_REVOKED: 'clientCertificateRefused',
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN: 'clientCertificateRefused'
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
