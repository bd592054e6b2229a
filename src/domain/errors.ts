import type { Actor } from './task.ts'

/**
 * A failure we expect. `code` is public API; HTTP is not known here.
 *
 * The message is shown to the user as it is: it names what was wrong and whose turn it is, and never holds a credential,
 * the query of a URL, or text that a hostile image or destination chose.
 */
export abstract class ExportError extends Error {
  abstract readonly code: string
  /** True when trying again cannot help. */
  abstract readonly permanent: boolean
  /** Who has to act before it can work. */
  abstract readonly actor: Actor

  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = new.target.name
  }
}

/** Whether trying again cannot help. Of what nobody expected that is not known, so it may. */
export const isPermanent = (error: unknown): boolean => error instanceof ExportError && error.permanent

/** The image's bytes may not be trusted, or are not what was declared. `rule` is stable and names the check. */
export class ImageUnsafe extends ExportError {
  readonly code = 'IMAGE_UNSAFE'
  readonly permanent = true
  readonly actor = 'user'
  readonly rule: string

  constructor(rule: string, why: string, options?: ErrorOptions) {
    super(`The image was refused by the rule ${rule}: ${why}`, options)
    this.rule = rule
  }
}

/** The image's bytes cannot be had now: its store does not answer, or answers with fewer bytes than it promised. */
export class SourceReadFailed extends ExportError {
  readonly code = 'SOURCE_READ_FAILED'
  readonly permanent = false
  readonly actor = 'operator'

  constructor(why: string, options?: ErrorOptions) {
    super(`The image could not be read: ${why}`, options)
  }
}

/** The disk, or the file that would be made of it, is larger than the wanted format can hold. */
export class FormatLimitExceeded extends ExportError {
  readonly code = 'FORMAT_LIMIT_EXCEEDED'
  readonly permanent = true
  readonly actor = 'user'

  constructor(format: string, limitBytes: number, { of = 'disk', instead = 'another export_format' } = {}) {
    super(`A ${of} above ${limitBytes} bytes does not fit the format ${format}; choose ${instead}.`)
  }
}

/** Unknown, expired and other projects' tasks are the same. */
export class TaskNotFound extends ExportError {
  readonly code = 'TASK_NOT_FOUND'
  readonly permanent = true
  readonly actor = 'user'

  constructor(id: string) {
    super(`Could not find task ${id}`)
  }
}

/** `marker` of a list names nothing that the caller may see. */
export class MarkerNotFound extends ExportError {
  readonly code = 'MARKER_NOT_FOUND'
  readonly permanent = true
  readonly actor = 'user'

  constructor(id: string) {
    super(`marker: ${id} was not found`)
  }
}

/** `export_format` is none that we write. */
export class FormatUnsupported extends ExportError {
  readonly code = 'FORMAT_UNSUPPORTED'
  readonly permanent = true
  readonly actor = 'user'

  constructor(supported: readonly string[]) {
    super(`This export_format cannot be written; choose one of: ${supported.join(', ')}.`)
  }
}

/** The stored image is not the one that the task was made for. */
export class SourceChanged extends ExportError {
  readonly code = 'SOURCE_CHECKSUM_MISMATCH'
  readonly permanent = true
  readonly actor = 'operator'

  constructor(recordedBytes: number, foundBytes: number) {
    super(
      `The stored image has ${foundBytes} bytes where ${recordedBytes} were recorded at upload. ` +
        'Nothing was exported; the operator has to restore the image.'
    )
  }
}

/** The sealed credentials cannot be opened: the key-encryption key has gone or the row was changed. */
export class CredentialsLost extends ExportError {
  readonly code = 'CREDENTIALS_PURGED'
  readonly permanent = true
  readonly actor = 'operator'

  constructor(options?: ErrorOptions) {
    super(
      'The credentials of this task cannot be opened: the key they were sealed with is not available. ' +
        'The operator has to restore the key, then create the task again.',
      options
    )
  }
}

/** `format_options` asks for what the format does not have. */
export class FormatOptionsInvalid extends ExportError {
  readonly code = 'FORMAT_OPTIONS_INVALID'
  readonly permanent = true
  readonly actor = 'user'
  readonly pointer: string

  constructor(option: string, why: string) {
    super(`format_options.${option}: ${why}.`)
    this.pointer = `/format_options/${option}`
  }
}
