import { ExportError } from './errors.ts'

/** The project may not have this task besides those that it has. The message says what is used and what to do. */
export class QuotaExceeded extends ExportError {
  readonly code = 'QUOTA_EXCEEDED'
  readonly permanent = false
  readonly actor = 'user'
}

/** The key of an earlier request came with another body. */
export class IdempotencyKeyReused extends ExportError {
  readonly code = 'IDEMPOTENCY_KEY_REUSED'
  readonly permanent = true
  readonly actor = 'user'

  constructor() {
    super(
      'This Idempotency-Key was used for another request: send a new key with a new request, the same body with the same key.'
    )
  }
}

/** The request that came with this key first is being carried out. */
export class IdempotencyKeyBusy extends ExportError {
  readonly code = 'IDEMPOTENCY_KEY_BUSY'
  readonly permanent = false
  readonly actor = 'user'

  constructor() {
    super('A request with this Idempotency-Key is being carried out: send it again in a second to get its answer.')
  }
}

/** The task of this key has expired, and a second one is not what a repeated request means. */
export class IdempotencyTaskExpired extends ExportError {
  readonly code = 'IDEMPOTENCY_TASK_EXPIRED'
  readonly permanent = true
  readonly actor = 'user'

  constructor() {
    super('The task that was created with this Idempotency-Key has expired: send a new key to export the image again.')
  }
}

/** As many dry runs as one process makes at once are under way. */
export class PreflightsBusy extends ExportError {
  readonly code = 'PREFLIGHTS_BUSY'
  readonly permanent = false
  readonly actor = 'operator'

  constructor() {
    super('Too many dry runs are under way here. Try again in a few seconds.')
  }
}
