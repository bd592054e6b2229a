import { DestinationError } from '../../domain/destination-errors.ts'
import { failure, networkFailure, type Situation, situationOfStatus } from '../failures.ts'

/**
 * Error codes of S3 and of what speaks S3 (Ceph, MinIO, Swift) that say more than the HTTP status beside them.
 * @see https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
 */
const BY_S3_CODE: Readonly<Record<string, Situation>> = {
  AccessDenied: 'forbidden',
  AccountProblem: 'forbidden',
  AllAccessDisabled: 'forbidden',
  AuthorizationHeaderMalformed: 'wrongRegion',
  AuthorizationQueryParametersError: 'wrongRegion',
  BadDigest: 'bytesDiffer',
  EntityTooLarge: 'tooLarge',
  EntityTooSmall: 'misused',
  ExpiredToken: 'unauthorized',
  IllegalLocationConstraintException: 'wrongRegion',
  IncompleteBody: 'brokenOff',
  InternalError: 'serverError',
  InvalidAccessKeyId: 'unauthorized',
  InvalidPart: 'uploadGone',
  InvalidPartOrder: 'misused',
  InvalidSecurity: 'unauthorized',
  InvalidToken: 'unauthorized',
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
  RequestTimeTooSkewed: 'clockSkewed',
  RequestTimeout: 'requestTimedOut',
  ServiceUnavailable: 'throttled',
  SignatureDoesNotMatch: 'unauthorized',
  SlowDown: 'throttled',
  StorageFull: 'quotaExceeded',
  TemporaryRedirect: 'redirected',
  Throttling: 'throttled',
  ThrottlingException: 'throttled',
  TokenRefreshRequired: 'unauthorized',
  TooManyRequests: 'throttled',
  XAmzContentSHA256Mismatch: 'bytesDiffer',
  XMinioStorageFull: 'quotaExceeded'
}

/** The failure that an S3 error code and the HTTP status beside it stand for. */
export function s3Failure(host: string, code: string, status: number, cause?: unknown): DestinationError {
  const listed = Object.hasOwn(BY_S3_CODE, code) ? BY_S3_CODE[code] : undefined
  return failure(listed ?? situationOfStatus(status), host, { status, cause })
}

/** The code in the body of an S3 error answer; empty when there is none. */
export const s3CodeIn = (body: string): string => /<Code>([A-Za-z0-9.]{1,64})<\/Code>/.exec(body)?.[1] ?? ''

/** What the SDK threw, as a failure of ours. Its own message is left out: the destination wrote it. */
export function sdkFailure(host: string, error: unknown): DestinationError {
  if (error instanceof DestinationError) return error
  const status = sdkStatus(error)
  return status === undefined ? networkFailure(host, error) : s3Failure(host, errorName(error), status)
}

export const errorName = (error: unknown): string => (error instanceof Error ? error.name : '')

function sdkStatus(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('$metadata' in error)) return undefined
  const metadata = error.$metadata as { httpStatusCode?: number } | undefined
  return metadata?.httpStatusCode
}
