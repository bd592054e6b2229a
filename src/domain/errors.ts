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

export class ImageNotFound extends ExportError {
  readonly code = 'IMAGE_NOT_FOUND'
  readonly permanent = true
  readonly actor = 'user'

  constructor(id: string) {
    super(`No image found with ID ${id}`)
  }
}

/** An image in a status that does not allow what was asked. */
export class ImageNotActive extends ExportError {
  readonly code = 'IMAGE_NOT_ACTIVE'
  readonly permanent = true
  readonly actor = 'user'

  constructor(id: string, status: string) {
    super(`Image ${id} is ${status}; only an active image can be exported. Upload its data first.`)
  }
}

/** The disk is larger than the wanted format can hold. */
export class FormatLimitExceeded extends ExportError {
  readonly code = 'FORMAT_LIMIT_EXCEEDED'
  readonly permanent = true
  readonly actor = 'user'

  constructor(format: string, limitBytes: number) {
    super(`A disk above ${limitBytes} bytes does not fit the format ${format}; choose another export_format.`)
  }
}

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

  constructor(
    failure: { code: DestinationFailure; permanent: boolean; actor: Actor; upstreamStatus?: number },
    why: string,
    options?: ErrorOptions
  ) {
    super(why, options)
    this.code = failure.code
    this.permanent = failure.permanent
    this.actor = failure.actor
    this.upstreamStatus = failure.upstreamStatus
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

/** The id that the client chose for a new image is taken. */
export class ImageExists extends ExportError {
  readonly code = 'IMAGE_EXISTS'
  readonly permanent = true
  readonly actor = 'user'

  constructor(id: string) {
    super(`Image ID ${id} already exists!`)
  }
}

/** The image may be seen, but not changed in this way by this caller. */
export class ImageForbidden extends ExportError {
  readonly code = 'IMAGE_FORBIDDEN'
  readonly permanent = true
  readonly actor = 'user'
}

export class ImageProtected extends ExportError {
  readonly code = 'IMAGE_PROTECTED'
  readonly permanent = true
  readonly actor = 'user'

  constructor(id: string) {
    super(`Image ${id} is protected and cannot be deleted.`)
  }
}

/** The image lock: tasks that have not ended still need the image. */
export class ImageInUse extends ExportError {
  readonly code = 'IMAGE_IN_USE'
  readonly permanent = false
  readonly actor = 'user'
  readonly tasks: readonly string[]

  constructor(id: string, tasks: readonly string[]) {
    super(`Image ${id} cannot be deleted while it is being exported by ${tasks.join(', ')}; wait for or cancel them.`)
    this.tasks = tasks
  }
}

/** Data cannot be uploaded before the image says what it is. */
export class ImageIncomplete extends ExportError {
  readonly code = 'IMAGE_INCOMPLETE'
  readonly permanent = true
  readonly actor = 'user'

  constructor(missing: readonly string[]) {
    super(`Properties ${missing.join(', ')} must be set prior to saving data.`)
  }
}

/** Formats of an image are what its data was checked against: they may change only while it has none. */
export class ImageFormatFixed extends ExportError {
  readonly code = 'IMAGE_FORMAT_FIXED'
  readonly permanent = true
  readonly actor = 'user'

  constructor(id: string) {
    super(`disk_format and container_format can be changed only while image ${id} is queued.`)
  }
}

/** The declared `property` is none that this service can read. */
export class ImageFormatUnsupported extends ExportError {
  readonly code = 'IMAGE_FORMAT_UNSUPPORTED'
  readonly permanent = true
  readonly actor = 'user'

  constructor(property: 'disk_format' | 'container_format', supported: readonly string[]) {
    super(`The image's ${property} is not supported; supported: ${supported.join(', ')}`)
  }
}

/** Another upload to the image is under way, took over, or the image has its data already. */
export class UploadConflict extends ExportError {
  readonly code = 'UPLOAD_CONFLICT'
  readonly permanent = true
  readonly actor = 'user'

  constructor(id: string) {
    super(`Image ${id} has its data already, or another upload to it is under way; data can be uploaded once.`)
  }
}

/** More bytes than the operator allows for one image. */
export class ImageTooLarge extends ExportError {
  readonly code = 'IMAGE_TOO_LARGE'
  readonly permanent = true
  readonly actor = 'user'

  constructor(maxBytes: number) {
    super(`The image is larger than ${maxBytes} bytes, the limit that the operator has set.`)
  }
}

/** The image store has no room left. */
export class StoreFull extends ExportError {
  readonly code = 'STORE_FULL'
  readonly permanent = false
  readonly actor = 'operator'

  constructor(options?: ErrorOptions) {
    super('The image store is full; the operator has to make room before data can be uploaded.', options)
  }
}
