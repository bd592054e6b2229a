import { ExportError } from './errors.ts'
import type { Actor } from './task.ts'

/** `export_to` or its credentials can never work: refused before a task is made. `pointer` is a JSON Pointer into the body. */
export class DestinationInvalid extends ExportError {
  readonly code: 'DEST_URL_INVALID' | 'DEST_SCHEME_DISABLED' | 'DEST_ADDRESS_FORBIDDEN' | 'DEST_CREDENTIALS_INVALID'
  readonly permanent = true
  readonly actor = 'user'
  readonly pointer: string

  constructor(code: DestinationInvalid['code'], pointer: string, why: string) {
    super(why)
    this.code = code
    this.pointer = pointer
  }
}

export type DestinationFailure =
  | 'DEST_ADDRESS_FORBIDDEN'
  | 'DEST_DNS_FAILED'
  | 'DEST_UNREACHABLE'
  | 'DEST_TLS_UNTRUSTED'
  | 'DEST_AUTH_FAILED'
  | 'DEST_CREDENTIALS_EXPIRED'
  | 'DEST_FORBIDDEN'
  | 'DEST_CONTAINER_NOT_FOUND'
  | 'DEST_OBJECT_EXISTS'
  | 'DEST_QUOTA_EXCEEDED'
  | 'DEST_LIMIT_EXCEEDED'
  | 'DEST_THROTTLED'
  | 'DEST_REJECTED'
  | 'DEST_INTEGRITY_MISMATCH'
  | 'DEST_COMMIT_FAILED'

/** The destination refused, broke off or fell silent. The message names its host, never its URL. */
export class DestinationError extends ExportError {
  readonly code: DestinationFailure
  readonly permanent: boolean
  readonly actor: Actor
  /** HTTP status of the destination's answer, where there was one. */
  readonly upstreamStatus: number | undefined
  /** Who failed: host, and port if it was given. */
  readonly host: string | undefined
  /** How long the destination asks to be left alone, in milliseconds, where it said so. */
  readonly retryAfterMs: number | undefined

  constructor(
    failure: {
      code: DestinationFailure
      permanent: boolean
      actor: Actor
      upstreamStatus?: number
      host?: string
      retryAfterMs?: number
    },
    why: string,
    options?: ErrorOptions
  ) {
    super(why, options)
    this.code = failure.code
    this.permanent = failure.permanent
    this.actor = failure.actor
    this.upstreamStatus = failure.upstreamStatus
    this.host = failure.host
    this.retryAfterMs = failure.retryAfterMs
  }
}
