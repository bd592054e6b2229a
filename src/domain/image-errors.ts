import { ExportError } from './errors.ts'

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

/** The operator's policy keeps the image here. `rule` is the operator's own text. */
export class ImageNotExportable extends ExportError {
  readonly code = 'IMAGE_NOT_EXPORTABLE'
  readonly permanent = true
  readonly actor = 'operator'

  constructor(id: string, rule: string) {
    super(`Image ${id} may not be exported: the operator's rule ${rule} keeps it here. Ask the operator.`)
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

const MOST_NAMED = 10
const firstOf = (ids: readonly string[]): string => {
  const more = ids.length - MOST_NAMED
  return `${ids.slice(0, MOST_NAMED).join(', ')}${more > 0 ? ` and ${more} more` : ''}`
}

type ImageHolders = {
  readonly tasks: readonly string[]
  readonly tempUrls?: readonly string[]
  readonly others?: boolean
}

/** The image lock: tasks that have not ended, or whose temporary URLs are made from the image, still need it. */
export class ImageInUse extends ExportError {
  readonly code = 'IMAGE_IN_USE'
  readonly permanent = false
  readonly actor = 'user'
  readonly tasks: readonly string[]

  /**
   * @param tempUrls tasks that have succeeded and whose URLs live
   * @param others whether tasks of other projects need it too, which are not named
   */
  constructor(id: string, { tasks, tempUrls = [], others = false }: ImageHolders) {
    const reasons = [
      ...(tasks.length > 0
        ? [
            `while it is being exported by ${firstOf(tasks)}; try again when that has ended, ` +
              'or cancel it with POST /v2/tasks/{id}/cancel'
          ]
        : []),
      ...(tempUrls.length > 0
        ? [
            `while it can be downloaded by the temporary URLs of ${firstOf(tempUrls)}; wait until they have ended, ` +
              'or revoke them with DELETE /v2/tasks/{id}/temp_url'
          ]
        : []),
      ...(others ? ['while other projects export or download it; try again when they have ended'] : [])
    ]
    super(`Image ${id} cannot be deleted ${reasons.join('; nor ')}.`)
    this.tasks = [...tasks, ...tempUrls]
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
    super(
      `Image ${id} has its data already, or another upload to it is under way; data can be uploaded once. After an upload that was cut off, try again in two minutes.`
    )
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
