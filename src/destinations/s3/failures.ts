import { DestinationError } from '../../domain/destination-errors.ts'
import { failure, networkFailure, retryAfterMs, situationOfStatus } from '../failures.ts'
import type { Situation } from '../situations.ts'

/**
 * Error codes of S3, of its token service and of what speaks S3 (Ceph, MinIO, Swift) that say more than the HTTP status
 * beside them.
 * @see https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
 */
const BY_S3_CODE: Readonly<Record<string, Situation>> = {
  AccessDenied: 'forbidden',
  AccountProblem: 'forbidden',
  AllAccessDisabled: 'forbidden',
  AuthorizationHeaderMalformed: 'wrongRegion',
  AuthorizationQueryParametersError: 'wrongRegion',
  BadDigest: 'bytesDiffer',
  BandwidthLimitExceeded: 'throttled',
  ConditionalRequestConflict: 'outcomeUnknown',
  EntityTooLarge: 'tooLarge',
  EntityTooSmall: 'misused',
  ExpiredToken: 'credentialsExpired',
  ExpiredTokenException: 'credentialsExpired',
  IllegalLocationConstraintException: 'wrongRegion',
  IncompleteBody: 'brokenOff',
  InternalError: 'serverError',
  InvalidAccessKeyId: 'unauthorized',
  InvalidClientTokenId: 'unauthorized',
  InvalidEncryptionAlgorithmError: 'optionRefused',
  InvalidPart: 'uploadGone',
  InvalidPartOrder: 'misused',
  InvalidSecurity: 'unauthorized',
  InvalidStorageClass: 'optionRefused',
  InvalidTag: 'tagsInvalid',
  InvalidToken: 'unauthorized',
  MetadataTooLarge: 'metadataInvalid',
  MethodNotAllowed: 'methodNotAllowed',
  NoSuchBucket: 'notFound',
  NoSuchUpload: 'uploadGone',
  NotImplemented: 'methodNotAllowed',
  NotSignedUp: 'forbidden',
  OperationAborted: 'throttled',
  PermanentRedirect: 'wrongRegion',
  PreconditionFailed: 'objectExists',
  QuotaExceeded: 'quotaExceeded',
  RequestExpired: 'clockSkewed',
  RequestLimitExceeded: 'throttled',
  RequestTimeTooSkewed: 'clockSkewed',
  RequestTimeout: 'requestTimedOut',
  ServiceUnavailable: 'throttled',
  SignatureDoesNotMatch: 'unauthorized',
  SlowDown: 'throttled',
  StorageFull: 'quotaExceeded',
  TemporaryRedirect: 'redirected',
  Throttling: 'throttled',
  ThrottlingException: 'throttled',
  TokenRefreshRequired: 'credentialsExpired',
  TooManyRequests: 'throttled',
  UserSuspended: 'forbidden',
  XAmzContentSHA256Mismatch: 'bytesDiffer',
  XMinioStorageFull: 'quotaExceeded'
}

/** The status and headers of an S3 answer, and the error code in its body. */
type Refusal = {
  readonly status: number
  readonly code: string
  readonly headers?: Readonly<Record<string, string | string[] | undefined>>
}

/** What an answer means in some place; undefined: what it means everywhere. */
export type Judge = (refusal: Refusal) => Situation | undefined

export function situationOfS3({ status, code }: Refusal): Situation {
  if (code.startsWith('KMS.')) return 'kmsKeyUnusable'
  const listed = Object.hasOwn(BY_S3_CODE, code) ? BY_S3_CODE[code] : undefined
  return listed ?? situationOfStatus(status)
}

/** The failure that an S3 answer stands for, with the pause it asks for. */
export const s3Failure = (host: string, refusal: Refusal, situation = situationOfS3(refusal)): DestinationError =>
  failure(situation, host, { status: refusal.status, retryAfterMs: retryAfterMs(refusal.headers ?? {}) })

/** The code in the body of an S3 error answer; empty when there is none. */
export const s3CodeIn = (body: string): string => /<Code>([A-Za-z0-9.]{1,64})<\/Code>/.exec(body)?.[1] ?? ''

/**
 * What the SDK threw, as a failure of ours. Its own message is left out: the destination wrote it.
 */
export function sdkFailure(host: string, error: unknown, judge: Judge = () => undefined): DestinationError {
  if (error instanceof DestinationError) return error
  const refusal = refusalIn(error)
  return refusal === undefined ? networkFailure(host, error) : s3Failure(host, refusal, judge(refusal))
}

export const errorName = (error: unknown): string => (error instanceof Error ? error.name : '')

function refusalIn(error: unknown): Refusal | undefined {
  if (!(error instanceof Error) || !('$metadata' in error)) return undefined
  const { $metadata, $response } = error as {
    $metadata?: { httpStatusCode?: number }
    $response?: { headers?: Refusal['headers'] }
  }
  const status = $metadata?.httpStatusCode
  if (status === undefined) return undefined
  // Ceph answers with the code of any other wrong argument.
  const code = /\bkms-keyid\b/i.test(error.message) ? 'KMS.NotFoundException' : error.name
  return { status, code, ...($response?.headers && { headers: $response.headers }) }
}
