import { ExportError } from './errors.ts'

/** An option of the request that this destination, or this way to name it, cannot carry out. `pointer` is a JSON Pointer. */
export class OptionUnsupported extends ExportError {
  readonly code = 'OPTION_UNSUPPORTED'
  readonly permanent = true
  readonly actor = 'user'
  readonly pointer: string

  constructor(pointer: string, why: string) {
    super(`${pointer.slice(1).replaceAll('/', '.')}: ${why}.`)
    this.pointer = pointer
  }
}

/** `object.key_template` names nothing that can be an object's name. */
export class KeyTemplateInvalid extends ExportError {
  readonly code = 'KEY_TEMPLATE_INVALID'
  readonly permanent = true
  readonly actor = 'user'
  readonly pointer = '/object/key_template'

  constructor(why: string) {
    super(`object.key_template: ${why}.`)
  }
}

/** What stands at the destination is not what was sent. */
export class VerifyFailed extends ExportError {
  readonly code = 'VERIFY_FAILED'
  readonly permanent = false
  readonly actor = 'destination'

  constructor(what: string) {
    super(`The object that was read back ${what}: check the storage of the destination.`)
  }
}

/** The destination does not let what was written be read. */
export class VerifyImpossible extends ExportError {
  readonly code = 'VERIFY_FAILED'
  readonly permanent = true
  readonly actor = 'user'

  constructor(options?: ErrorOptions) {
    super(
      'The object was written, but these credentials may not read it back. Allow them to read, or choose "verify": "none".',
      options
    )
  }
}

/** Another task of this service is writing an object of this name. It is waited for. */
export class ObjectBusy extends ExportError {
  readonly code = 'DEST_OBJECT_EXISTS'
  readonly permanent = false
  readonly actor = 'user'

  constructor() {
    super('Another task is writing an object of this name: the export begins when that has ended.')
  }
}

/** The credentials say themselves until when they are good, and that is over. */
export class CredentialsExpired extends ExportError {
  readonly code = 'DEST_CREDENTIALS_EXPIRED'
  readonly permanent = true
  readonly actor = 'user'

  constructor(expiry: Date) {
    super(`The credentials expired at ${expiry.toISOString()}: send new ones.`)
  }
}

/** A question before the export was not answered in its time. */
export class CheckTimedOut extends ExportError {
  readonly code = 'CHECK_TIMED_OUT'
  readonly permanent = false
  readonly actor = 'destination'

  constructor(seconds: number) {
    super(`There was no answer within ${seconds} seconds: check that the destination is not overloaded.`)
  }
}
