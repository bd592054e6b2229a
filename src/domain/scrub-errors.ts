import { ExportError } from './errors.ts'

/** `scrub` of the request names what there is not, or what does not go together. `pointer` is a JSON Pointer. */
export class ScrubInvalid extends ExportError {
  readonly code = 'SCRUB_INVALID'
  readonly permanent = true
  readonly actor = 'user'
  readonly pointer: string

  constructor(member: string, why: string) {
    super(`scrub.${member}: ${why}.`)
    this.pointer = `/scrub/${member}`
  }
}

/** The request wants less taken out than the operator has every export of this image go through. */
export class ScrubRequired extends ExportError {
  readonly code = 'SCRUB_REQUIRED'
  readonly permanent = true
  readonly actor = 'user'
  readonly pointer: string

  constructor(member: string, why: string) {
    super(`scrub.${member}: ${why}; leave it out.`)
    this.pointer = `/scrub/${member}`
  }
}

/** The guest's files cannot be changed here, and the export was not to go on without. `why` is text of ours. */
export class ScrubOsUnrecognized extends ExportError {
  readonly code = 'SCRUB_OS_UNRECOGNIZED'
  readonly permanent = true
  readonly actor = 'user'

  constructor(why: string, options?: ErrorOptions) {
    super(
      `The guest could not be scrubbed: ${why}. Nothing was exported. ` +
        'Where the operator allows it, "scrub": {"on_unrecognized_os": "skip"} exports it with its files as they are.',
      options
    )
  }
}

/** Its files cannot be read without a key. */
export class ScrubGuestEncrypted extends ExportError {
  readonly code = 'SCRUB_GUEST_ENCRYPTED'
  readonly permanent = true
  readonly actor = 'user'

  constructor(options?: ErrorOptions) {
    super(
      'The guest is encrypted, so nothing can be taken out of it without its key. Nothing was exported: ' +
        'try again with its passphrase in scrub.disk_key.',
      options
    )
  }
}

/** `scrub.disk_key` is not what the guest was encrypted with, or not all of it. */
export class ScrubDiskKeyWrong extends ExportError {
  readonly code = 'SCRUB_DISK_KEY_WRONG'
  readonly permanent = true
  readonly actor = 'user'

  constructor(options?: ErrorOptions) {
    super(
      "The key in scrub.disk_key does not open all of the guest's encrypted volumes. Nothing was exported: " +
        'try again with the passphrase that opens each of them.',
      options
    )
  }
}

/** What was deleted cannot be proved to be gone from the bytes. */
export class ScrubNotProved extends ExportError {
  readonly code = 'SCRUB_FAILED'
  readonly permanent = true
  readonly actor = 'user'

  constructor(why: string) {
    super(
      `Files were removed, but their blocks cannot be told from those in use: ${why}. Nothing was exported; ` +
        "check the guest's file systems."
    )
  }
}

/** The operator lets no image out in which secrets are found. Where they are is in the task's scrub_report. */
export class SecretsFound extends ExportError {
  readonly code = 'SECRETS_FOUND'
  readonly permanent = true
  readonly actor = 'user'

  /** @param rules of the scan, which are names of ours */
  constructor(rules: readonly string[]) {
    const names = [...new Set(rules)].sort().join(', ')
    super(
      `${rules.length} ${rules.length === 1 ? 'secret was' : 'secrets were'} found in the guest (${names}), and the ` +
        'operator lets none out. Nothing was exported; remove what scrub_report.secrets names from the image.'
    )
  }
}

/** The machine in which guests are changed does not start on this worker, which says nothing of the guest. */
export class ScrubApplianceFailed extends ExportError {
  readonly code = 'SCRUB_APPLIANCE_FAILED'
  readonly permanent = false
  readonly actor = 'operator'

  constructor(options?: ErrorOptions) {
    super(
      'The guest could not be scrubbed: the appliance does not start on the worker. Nothing was exported; ' +
        'the operator has to look at libguestfs there.',
      options
    )
  }
}

/** The worker's disk has no room for what a scrub changes. */
export class ScratchFull extends ExportError {
  readonly code = 'SCRATCH_FULL'
  readonly permanent = false
  readonly actor = 'operator'

  constructor() {
    super(
      'The worker has no room now for what is changed in the image. It is tried again; the operator has to make room.'
    )
  }
}

/** A step of the operator's own found what may not leave. `reason` is one line of its words. */
export class OperatorStepRefused extends ExportError {
  readonly code = 'SCRUB_STEP_REFUSED'
  readonly permanent = true
  readonly actor = 'user'

  constructor(id: string, reason: string) {
    super(`The operator's step ${id} lets this image not out: ${reason}. Nothing was exported.`)
  }
}

/** A step of the operator's own did not do what it was asked. */
export class OperatorStepFailed extends ExportError {
  readonly code = 'SCRUB_STEP_FAILED'
  readonly permanent = false
  readonly actor = 'operator'

  constructor(id: string, why: string, options?: ErrorOptions) {
    super(`The operator's step ${id} failed: ${why}. Nothing was exported; the operator has to look at it.`, options)
  }
}
