import { describe, expect, it } from 'vitest'
import { answerFailure, failure, networkFailure, retryAfterMs } from '../../../src/destinations/failures.ts'

const coded = (code: string) => Object.assign(new Error('connect 10.0.0.1:5432 secret'), { code })

describe('an HTTP status', () => {
  it.each<[number, string, 'permanent' | 'passing', string]>([
    [101, 'DEST_REJECTED', 'passing', 'destination'],
    [301, 'DEST_REJECTED', 'permanent', 'user'],
    [302, 'DEST_REJECTED', 'permanent', 'user'],
    [307, 'DEST_REJECTED', 'permanent', 'user'],
    [400, 'DEST_REJECTED', 'permanent', 'user'],
    [401, 'DEST_AUTH_FAILED', 'permanent', 'user'],
    [403, 'DEST_FORBIDDEN', 'permanent', 'user'],
    [404, 'DEST_CONTAINER_NOT_FOUND', 'permanent', 'user'],
    [405, 'DEST_REJECTED', 'permanent', 'user'],
    [407, 'DEST_AUTH_FAILED', 'permanent', 'user'],
    [408, 'DEST_UNREACHABLE', 'passing', 'destination'],
    [409, 'DEST_REJECTED', 'permanent', 'user'],
    [410, 'DEST_CONTAINER_NOT_FOUND', 'permanent', 'user'],
    [411, 'DEST_REJECTED', 'permanent', 'user'],
    [412, 'DEST_OBJECT_EXISTS', 'permanent', 'user'],
    [413, 'DEST_LIMIT_EXCEEDED', 'permanent', 'user'],
    [423, 'DEST_REJECTED', 'passing', 'destination'],
    [425, 'DEST_THROTTLED', 'passing', 'destination'],
    [429, 'DEST_THROTTLED', 'passing', 'destination'],
    [500, 'DEST_REJECTED', 'passing', 'destination'],
    [501, 'DEST_REJECTED', 'permanent', 'user'],
    [502, 'DEST_REJECTED', 'passing', 'destination'],
    [503, 'DEST_THROTTLED', 'passing', 'destination'],
    [504, 'DEST_REJECTED', 'passing', 'destination'],
    [505, 'DEST_REJECTED', 'permanent', 'user'],
    [507, 'DEST_QUOTA_EXCEEDED', 'permanent', 'user']
  ])('%d is %s, %s, and the turn of the %s', (status, code, lasts, actor) => {
    const error = answerFailure('host.example:8080', { status, headers: {} })

    expect(error).toMatchObject({ code, permanent: lasts === 'permanent', actor, upstreamStatus: status })
    expect(error.message).toMatch(/^host\.example:8080 .*\.$/)
  })
})

describe('the pause that an answer asks for', () => {
  const now = Date.UTC(2026, 10, 22, 12, 0, 0)

  it.each<[string | undefined, number | undefined]>([
    ['0', 0],
    ['17', 17_000],
    ['86400', 86_400_000],
    ['Sun, 22 Nov 2026 12:01:30 GMT', 90_000],
    ['Sun, 22 Nov 2026 11:59:00 GMT', 0],
    ['Sunday, 22-Nov-26 12:00:05 GMT', 5000],
    ['soon', undefined],
    ['', undefined],
    ['1e3', undefined],
    ['-5', undefined],
    ['9'.repeat(30), undefined],
    [undefined, undefined]
  ])('%j is %s ms', (text, milliseconds) => {
    expect(retryAfterMs({ 'retry-after': text }, now)).toBe(milliseconds)
  })

  it.each([429, 503, 500])('is kept with %d', (status) => {
    expect(answerFailure('h', { status, headers: { 'retry-after': '3' } })).toMatchObject({
      permanent: false,
      retryAfterMs: 3000,
      upstreamStatus: status
    })
    expect(answerFailure('h', { status, headers: {} }).retryAfterMs).toBeUndefined()
  })
})

describe('an error of Node', () => {
  it.each<[string, string, 'permanent' | 'passing', string]>([
    ['ENOTFOUND', 'DEST_DNS_FAILED', 'passing', 'user'],
    ['EAI_NONAME', 'DEST_DNS_FAILED', 'passing', 'user'],
    ['ENODATA', 'DEST_DNS_FAILED', 'passing', 'user'],
    ['EAI_AGAIN', 'DEST_DNS_FAILED', 'passing', 'operator'],
    ['EAI_FAIL', 'DEST_DNS_FAILED', 'passing', 'operator'],
    ['ECONNREFUSED', 'DEST_UNREACHABLE', 'passing', 'destination'],
    ['EHOSTUNREACH', 'DEST_UNREACHABLE', 'passing', 'destination'],
    ['EHOSTDOWN', 'DEST_UNREACHABLE', 'passing', 'destination'],
    ['ENETUNREACH', 'DEST_UNREACHABLE', 'passing', 'destination'],
    ['ENETDOWN', 'DEST_UNREACHABLE', 'passing', 'destination'],
    ['EADDRNOTAVAIL', 'DEST_UNREACHABLE', 'passing', 'destination'],
    ['EACCES', 'DEST_UNREACHABLE', 'passing', 'destination'],
    ['EPERM', 'DEST_UNREACHABLE', 'passing', 'destination'],
    ['ETIMEDOUT', 'DEST_UNREACHABLE', 'passing', 'destination'],
    ['ERR_SOCKET_CONNECTION_TIMEOUT', 'DEST_UNREACHABLE', 'passing', 'destination'],
    ['ECONNRESET', 'DEST_UNREACHABLE', 'passing', 'destination'],
    ['ECONNABORTED', 'DEST_UNREACHABLE', 'passing', 'destination'],
    ['EPIPE', 'DEST_UNREACHABLE', 'passing', 'destination'],
    ['ERR_SOCKET_CLOSED', 'DEST_UNREACHABLE', 'passing', 'destination'],
    ['ERR_STREAM_DESTROYED', 'DEST_UNREACHABLE', 'passing', 'destination'],
    ['ERR_STREAM_PREMATURE_CLOSE', 'DEST_UNREACHABLE', 'passing', 'destination'],
    ['CERT_HAS_EXPIRED', 'DEST_TLS_UNTRUSTED', 'permanent', 'destination'],
    ['CERT_NOT_YET_VALID', 'DEST_TLS_UNTRUSTED', 'permanent', 'destination'],
    ['ERR_TLS_CERT_ALTNAME_INVALID', 'DEST_TLS_UNTRUSTED', 'permanent', 'destination'],
    ['HOSTNAME_MISMATCH', 'DEST_TLS_UNTRUSTED', 'permanent', 'destination'],
    ['CERT_CHAIN_TOO_LONG', 'DEST_TLS_UNTRUSTED', 'permanent', 'destination'],
    ['CERT_REJECTED', 'DEST_TLS_UNTRUSTED', 'permanent', 'destination'],
    ['CERT_REVOKED', 'DEST_TLS_UNTRUSTED', 'permanent', 'destination'],
    ['CERT_SIGNATURE_FAILURE', 'DEST_TLS_UNTRUSTED', 'permanent', 'destination'],
    ['CERT_UNTRUSTED', 'DEST_TLS_UNTRUSTED', 'permanent', 'destination'],
    ['DEPTH_ZERO_SELF_SIGNED_CERT', 'DEST_TLS_UNTRUSTED', 'permanent', 'destination'],
    ['INVALID_CA', 'DEST_TLS_UNTRUSTED', 'permanent', 'destination'],
    ['INVALID_PURPOSE', 'DEST_TLS_UNTRUSTED', 'permanent', 'destination'],
    ['SELF_SIGNED_CERT_IN_CHAIN', 'DEST_TLS_UNTRUSTED', 'permanent', 'destination'],
    ['UNABLE_TO_GET_ISSUER_CERT', 'DEST_TLS_UNTRUSTED', 'permanent', 'destination'],
    ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'DEST_TLS_UNTRUSTED', 'permanent', 'destination'],
    ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'DEST_TLS_UNTRUSTED', 'permanent', 'destination'],
    ['EPROTO', 'DEST_TLS_UNTRUSTED', 'permanent', 'destination'],
    ['ERR_SSL_WRONG_VERSION_NUMBER', 'DEST_TLS_UNTRUSTED', 'permanent', 'destination'],
    ['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', 'DEST_AUTH_FAILED', 'permanent', 'user'],
    ['ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE', 'DEST_TLS_UNTRUSTED', 'permanent', 'user'],
    ['ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', 'DEST_AUTH_FAILED', 'permanent', 'user'],
    ['ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE', 'DEST_AUTH_FAILED', 'permanent', 'user'],
    ['ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED', 'DEST_AUTH_FAILED', 'permanent', 'user'],
    ['ERR_SSL_SSLV3_ALERT_CERTIFICATE_REVOKED', 'DEST_AUTH_FAILED', 'permanent', 'user'],
    ['ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN', 'DEST_AUTH_FAILED', 'permanent', 'user'],
    ['HPE_INVALID_CONSTANT', 'DEST_REJECTED', 'passing', 'destination'],
    ['SOMETHING_NEW', 'DEST_UNREACHABLE', 'passing', 'destination']
  ])('%s is %s, %s, and the turn of the %s', (nodeCode, code, lasts, actor) => {
    const cause = coded(nodeCode)

    const error = networkFailure('host.example', cause)

    expect(error).toMatchObject({ code, permanent: lasts === 'permanent', actor, cause, upstreamStatus: undefined })
    expect(error.message).toMatch(/^host\.example .*\.$/)
    expect(error.message).not.toMatch(/10\.0\.0\.1|secret/)
  })

  it('counts by its first error when several addresses failed', () => {
    const error = networkFailure('h', new AggregateError([coded('EHOSTUNREACH'), coded('ECONNRESET')]))

    expect(error.message).toContain('could not be reached')
  })

  it('reads the same for refused, closed and filtered ports', () => {
    const messages = ['ECONNREFUSED', 'EHOSTUNREACH', 'ETIMEDOUT'].map(
      (code) => networkFailure('h', coded(code)).message
    )

    expect(new Set(messages).size).toBe(1)
  })

  it('stays as it is when it was named already', () => {
    const named = failure('addressForbidden', 'h')

    expect(networkFailure('other', named)).toBe(named)
    expect(named).toMatchObject({ code: 'DEST_ADDRESS_FORBIDDEN', permanent: true, actor: 'user' })
  })
})
