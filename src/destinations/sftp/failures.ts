import { DestinationError } from '../../domain/destination-errors.ts'
import { failure, networkFailure } from '../failures.ts'
import type { Situation } from '../situations.ts'

/** SSH_FX_* of the SFTP drafts; servers of version 3 may use the later ones too. */
export const SFTP_STATUS = { noSuchFile: 2, permissionDenied: 3, failure: 4, unsupported: 8 } as const

const BY_STATUS: Readonly<Record<number, Situation>> = {
  1: 'lengthDiffers', // EOF
  [SFTP_STATUS.noSuchFile]: 'notFound',
  [SFTP_STATUS.permissionDenied]: 'forbidden',
  [SFTP_STATUS.failure]: 'serverError',
  5: 'nameTooLong', // BAD_MESSAGE: what OpenSSH makes of ENAMETOOLONG, and of nothing else that is asked here
  6: 'brokenOff', // NO_CONNECTION
  7: 'brokenOff', // CONNECTION_LOST
  [SFTP_STATUS.unsupported]: 'methodNotAllowed',
  10: 'notFound', // NO_SUCH_PATH
  11: 'objectExists', // FILE_ALREADY_EXISTS
  12: 'forbidden', // WRITE_PROTECT
  13: 'serverError', // NO_MEDIA
  14: 'quotaExceeded', // NO_SPACE_ON_FILESYSTEM
  15: 'quotaExceeded', // QUOTA_EXCEEDED
  17: 'conflict', // LOCK_CONFLICT
  19: 'notFound' // NOT_A_DIRECTORY
}

/** The status that a request was refused with; undefined when it was not answered. */
export const statusOf = (error: unknown): number | undefined => {
  const cause = error instanceof DestinationError ? error.cause : error
  return cause instanceof Error && 'code' in cause && typeof cause.code === 'number' ? cause.code : undefined
}

/** What it means that a request failed. */
export function requestFailure(host: string, error: unknown): DestinationError {
  const status = statusOf(error)
  return failure(status === undefined ? 'brokenOff' : (BY_STATUS[status] ?? 'serverError'), host, { cause: error })
}

/** What ssh2 says of itself: no common algorithm, a refused login, time that ran out. */
const BY_LEVEL: Readonly<Record<string, Situation>> = {
  handshake: 'sshFailed',
  protocol: 'brokenOff',
  'client-authentication': 'unauthorized',
  'client-timeout': 'unreachable'
}
/** Whether the two sides found no algorithm that both have. */
export const isDisagreement = (error: unknown): boolean =>
  error instanceof DestinationError && levelOf(error.cause) === 'handshake'

const levelOf = (error: unknown): string | undefined =>
  error instanceof Error && 'level' in error ? String(error.level) : undefined

/** SSH_DISCONNECT_NO_MORE_AUTH_METHODS_AVAILABLE, RFC 4253 11.1. */
const NO_MORE_LOGINS = 14

/** What it means that no session came about. */
export function loginFailure(host: string, error: unknown): DestinationError {
  const level = levelOf(error)
  if (level === 'client-socket') return networkFailure(host, error)
  const listed = level === undefined ? undefined : BY_LEVEL[level]
  if (listed !== undefined) return failure(listed, host, { cause: error })
  const reason = statusOf(error)
  if (reason === undefined) return failure('sshFailed', host, { cause: error })
  return failure(reason === NO_MORE_LOGINS ? 'unauthorized' : 'brokenOff', host, { cause: error })
}
