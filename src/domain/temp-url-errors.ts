import { ExportError } from './errors.ts'

/** The disk that keeps exported files for download has no room for this one now. */
export class StagingFull extends ExportError {
  readonly code = 'STAGING_FULL'
  readonly permanent = false
  readonly actor = 'operator'

  constructor(options?: ErrorOptions) {
    super(
      'There is no room now to keep the file for download. It is tried again; the operator has to make room. ' +
        'An uncompressed format takes no room here.',
      options
    )
  }
}

/** The task gives no temporary URL: it writes elsewhere, has not succeeded, or its URL was revoked. */
export class TempUrlAbsent extends ExportError {
  readonly code = 'TEMP_URL_ABSENT'
  readonly permanent = true
  readonly actor = 'user'

  constructor(id: string) {
    super(
      `Task ${id} has no temporary URL: it writes elsewhere, has not succeeded yet, or its URL was revoked. ` +
        'Export the image again with "export_to": "tempurl:".'
    )
  }
}

/** As many downloads as the operator allows at once are under way. */
export class DownloadsBusy extends ExportError {
  readonly code = 'DOWNLOADS_BUSY'
  readonly permanent = false
  readonly actor = 'operator'

  constructor() {
    super('Too many downloads are under way here. Try again later.')
  }
}
