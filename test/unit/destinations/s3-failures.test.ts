import { afterAll, describe, expect, it } from 'vitest'
import { s3CodeIn, s3Failure } from '../../../src/destinations/s3/failures.ts'
import { createHashers } from '../../../src/hashing/hashers.ts'
import { bytes, errorBody, part, s3Harness } from './s3-harness.ts'

const hashers = createHashers(1)
afterAll(() => hashers.close())
const never = new AbortController().signal

describe('s3 failures', () => {
  it.each<[string, number, string, 'permanent' | 'passing', string]>([
    ['AccessDenied', 403, 'DEST_FORBIDDEN', 'permanent', 'user'],
    ['AccountProblem', 403, 'DEST_FORBIDDEN', 'permanent', 'user'],
    ['AllAccessDisabled', 403, 'DEST_FORBIDDEN', 'permanent', 'user'],
    ['AuthorizationHeaderMalformed', 400, 'DEST_REJECTED', 'permanent', 'user'],
    ['AuthorizationQueryParametersError', 400, 'DEST_REJECTED', 'permanent', 'user'],
    ['BadDigest', 400, 'DEST_INTEGRITY_MISMATCH', 'passing', 'destination'],
    ['BandwidthLimitExceeded', 503, 'DEST_THROTTLED', 'passing', 'destination'],
    ['ConditionalRequestConflict', 409, 'DEST_COMMIT_FAILED', 'passing', 'destination'],
    ['EntityTooLarge', 400, 'DEST_LIMIT_EXCEEDED', 'permanent', 'user'],
    ['EntityTooSmall', 400, 'DEST_REJECTED', 'permanent', 'operator'],
    ['ExpiredToken', 400, 'DEST_CREDENTIALS_EXPIRED', 'permanent', 'user'],
    ['ExpiredTokenException', 403, 'DEST_CREDENTIALS_EXPIRED', 'permanent', 'user'],
    ['IllegalLocationConstraintException', 400, 'DEST_REJECTED', 'permanent', 'user'],
    ['IncompleteBody', 400, 'DEST_UNREACHABLE', 'passing', 'destination'],
    ['InternalError', 200, 'DEST_REJECTED', 'passing', 'destination'],
    ['InvalidAccessKeyId', 403, 'DEST_AUTH_FAILED', 'permanent', 'user'],
    ['InvalidClientTokenId', 403, 'DEST_AUTH_FAILED', 'permanent', 'user'],
    ['InvalidEncryptionAlgorithmError', 400, 'DEST_REJECTED', 'permanent', 'user'],
    ['InvalidPart', 400, 'DEST_COMMIT_FAILED', 'passing', 'destination'],
    ['InvalidPartOrder', 400, 'DEST_REJECTED', 'permanent', 'operator'],
    ['InvalidSecurity', 403, 'DEST_AUTH_FAILED', 'permanent', 'user'],
    ['InvalidStorageClass', 400, 'DEST_REJECTED', 'permanent', 'user'],
    ['InvalidTag', 400, 'DEST_REJECTED', 'permanent', 'user'],
    ['InvalidToken', 400, 'DEST_AUTH_FAILED', 'permanent', 'user'],
    ['KMS.DisabledException', 400, 'DEST_FORBIDDEN', 'permanent', 'user'],
    ['MetadataTooLarge', 400, 'DEST_REJECTED', 'permanent', 'user'],
    ['MethodNotAllowed', 405, 'DEST_REJECTED', 'permanent', 'user'],
    ['NoSuchBucket', 404, 'DEST_CONTAINER_NOT_FOUND', 'permanent', 'user'],
    ['NoSuchUpload', 404, 'DEST_COMMIT_FAILED', 'passing', 'destination'],
    ['NotImplemented', 501, 'DEST_REJECTED', 'permanent', 'user'],
    ['NotSignedUp', 403, 'DEST_FORBIDDEN', 'permanent', 'user'],
    ['OperationAborted', 409, 'DEST_THROTTLED', 'passing', 'destination'],
    ['PermanentRedirect', 301, 'DEST_REJECTED', 'permanent', 'user'],
    ['PreconditionFailed', 412, 'DEST_OBJECT_EXISTS', 'permanent', 'user'],
    ['QuotaExceeded', 403, 'DEST_QUOTA_EXCEEDED', 'permanent', 'user'],
    ['RequestExpired', 400, 'DEST_AUTH_FAILED', 'passing', 'operator'],
    ['RequestLimitExceeded', 503, 'DEST_THROTTLED', 'passing', 'destination'],
    ['RequestTimeTooSkewed', 403, 'DEST_AUTH_FAILED', 'passing', 'operator'],
    ['RequestTimeout', 400, 'DEST_UNREACHABLE', 'passing', 'destination'],
    ['ServiceUnavailable', 503, 'DEST_THROTTLED', 'passing', 'destination'],
    ['SignatureDoesNotMatch', 403, 'DEST_AUTH_FAILED', 'permanent', 'user'],
    ['SlowDown', 400, 'DEST_THROTTLED', 'passing', 'destination'],
    ['StorageFull', 507, 'DEST_QUOTA_EXCEEDED', 'permanent', 'user'],
    ['TemporaryRedirect', 307, 'DEST_REJECTED', 'permanent', 'user'],
    ['Throttling', 400, 'DEST_THROTTLED', 'passing', 'destination'],
    ['ThrottlingException', 400, 'DEST_THROTTLED', 'passing', 'destination'],
    ['TokenRefreshRequired', 400, 'DEST_CREDENTIALS_EXPIRED', 'permanent', 'user'],
    ['TooManyRequests', 429, 'DEST_THROTTLED', 'passing', 'destination'],
    ['UserSuspended', 403, 'DEST_FORBIDDEN', 'permanent', 'user'],
    ['XAmzContentSHA256Mismatch', 400, 'DEST_INTEGRITY_MISMATCH', 'passing', 'destination'],
    ['XMinioStorageFull', 507, 'DEST_QUOTA_EXCEEDED', 'permanent', 'user'],
    ['SomethingNew', 403, 'DEST_FORBIDDEN', 'permanent', 'user'],
    ['constructor', 500, 'DEST_REJECTED', 'passing', 'destination']
  ])('%s with %d is %s', (s3Code, status, code, lasts, actor) => {
    const error = s3Failure('h.example', { status, code: s3CodeIn(errorBody(s3Code)) })

    expect(error).toMatchObject({ code, permanent: lasts === 'permanent', actor, upstreamStatus: status })
    expect(error.message).toMatch(/^h\.example .*\.$/)
  })

  it('have the pause that a control call was told', async () => {
    await using harness = await s3Harness(hashers)
    const fault = { kind: 'answer', status: 503, body: errorBody('SlowDown'), headers: { 'retry-after': '7' } } as const
    harness.faults.inject(fault)

    await expect(harness.destination.open(harness.target(1), never)).rejects.toMatchObject({
      code: 'DEST_THROTTLED',
      retryAfterMs: 7000
    })
  })

  it('have the pause that a part was told', async () => {
    await using harness = await s3Harness(hashers)
    const upload = await harness.destination.open(harness.target(1), never)
    harness.breakNextPart({ kind: 'answer', status: 503, body: errorBody('SlowDown'), headers: { 'retry-after': '9' } })

    await expect(upload.putPart(part(1), bytes(1), never)).rejects.toMatchObject({
      code: 'DEST_THROTTLED',
      retryAfterMs: 9000
    })
  })

  it('say that a session token has expired', async () => {
    await using harness = await s3Harness(hashers, { session_token: 'over' }, undefined, { keys: { AKIATEST: 'new' } })

    await expect(harness.destination.open(harness.target(1), never)).rejects.toMatchObject({
      code: 'DEST_CREDENTIALS_EXPIRED',
      permanent: true
    })
  })
})
