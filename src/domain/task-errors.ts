import { ExportError } from './errors.ts'

/** The task has ended: nothing of this kind can be done to it any more. */
export class TaskFinished extends ExportError {
  readonly code = 'TASK_FINISHED'
  readonly permanent = true
  readonly actor = 'user'

  constructor(what: string) {
    super(`The task has ended: ${what}.`)
  }
}

/** The task has not ended, or not yet begun to be what is asked of it. */
export class TaskNotFinished extends ExportError {
  readonly code = 'TASK_NOT_FINISHED'
  readonly permanent = false
  readonly actor = 'user'

  constructor(what: string) {
    super(`The task has not ended: ${what}.`)
  }
}

/** An attempt has begun to put the object in its place: nobody could say any more whether it is there. */
export class AlreadyCommitted extends ExportError {
  readonly code = 'ALREADY_COMMITTED'
  readonly permanent = true
  readonly actor = 'user'

  constructor() {
    super(
      'The export is being completed at the destination and can no longer be canceled: wait for its end, then delete the object.'
    )
  }
}

/** The task was started: what only a waiting one can have changed. */
export class TaskStarted extends ExportError {
  readonly code = 'TASK_STARTED'
  readonly permanent = true
  readonly actor = 'user'

  constructor() {
    super('The task has started: its priority counts, and can be changed, only while it waits.')
  }
}

/** The task failed with credentials that were wiped at its end, and no new ones came. */
export class CredentialsPurged extends ExportError {
  readonly code = 'CREDENTIALS_PURGED'
  readonly permanent = true
  readonly actor = 'user'

  constructor(kind: string) {
    super(
      `The credentials of the task (${kind}) were wiped when it ended: send new ones as "export_to_credentials" in the body.`
    )
  }
}

/** The task failed with a disk key that was wiped at its end, and no new one came. */
export class DiskKeyPurged extends ExportError {
  readonly code = 'DISK_KEY_PURGED'
  readonly permanent = true
  readonly actor = 'user'

  constructor() {
    super('The disk key of the task was wiped when it ended: send it again as "scrub" with "disk_key" in the body.')
  }
}

/** The task is being tried again already. */
export class RetryUnderWay extends ExportError {
  readonly code = 'RETRY_UNDER_WAY'
  readonly permanent = false
  readonly actor = 'user'

  constructor() {
    super('The task is being tried again already, by another task that has not ended: wait for that one, or cancel it.')
  }
}

/** The task is another one by now than the caller has seen. */
export class TaskChanged extends ExportError {
  readonly code = 'TASK_CHANGED'
  readonly permanent = false
  readonly actor = 'user'

  constructor() {
    super('The task has changed since its ETag was given out: get it again, and decide again.')
  }
}
