import type { ScrubProfile } from './scrub-report.ts'

/** Digests of the written bytes that a task may ask for; sha256 is always made. */
export const CHECKSUMS = ['sha256', 'sha512', 'md5'] as const
export type Checksum = (typeof CHECKSUMS)[number]

/** What to do when the place holds an object of that name already. */
export const IF_EXISTS = ['fail', 'replace', 'suffix', 'reuse'] as const
export type IfExists = (typeof IF_EXISTS)[number]

/** How much is read back after the upload. `etag`: what the destination says of the object; `ranges`: a sample of its bytes. */
export const VERIFY_LEVELS = ['none', 'etag', 'ranges', 'full'] as const
export type VerifyLevel = (typeof VERIFY_LEVELS)[number]

/** Small objects written beside the image: `<key>.sha256` as sha256sum reads it, `<key>.manifest.json`. */
export const SIDECARS = ['sha256', 'manifest'] as const
export type Sidecar = (typeof SIDECARS)[number]

/** What the object shall be like. Which of it a destination can do, the destination says itself. */
export type ObjectOptions = {
  /** Name below `export_to`, with placeholders in braces; the export id when absent. */
  readonly key_template?: string
  /** `fail` when absent. */
  readonly if_exists?: IfExists
  /** The destination removes the object so long after it was written. */
  readonly delete_after_seconds?: number
  readonly storage_class?: string
  readonly tags?: Readonly<Record<string, string>>
  readonly metadata?: Readonly<Record<string, string>>
}

/** What is to be taken out of the image; steps by their ids. What is absent is as the operator has it. */
export type ScrubOptions = {
  readonly profile?: ScrubProfile
  /** Steps besides the profile's. */
  readonly enable?: readonly string[]
  /** Steps of the profile that are not to be made. */
  readonly disable?: readonly string[]
  /** Where the guest's files cannot be changed. */
  readonly on_unrecognized_os?: 'fail' | 'skip'
  /** A key for the guest's encryption came along. The key itself is sealed, beside the credentials. */
  readonly keyed?: true
}

/** What a task may ask for besides the specification's fields; empty and absent mean the default. */
export type ExportOptions = {
  readonly object: ObjectOptions
  /** Besides sha256, which is always made. */
  readonly checksums: readonly Checksum[]
  /** Whether to compute the hash of the disk's content that is the same in every format. */
  readonly contentHash: boolean
  readonly sidecars: readonly Sidecar[]
  readonly verify: VerifyLevel
  readonly limits: {
    readonly bandwidth_bps?: number
    /** RFC 3339: the task fails if it has not ended by then. */
    readonly deadline?: string
    readonly max_attempts?: number
  }
  /** Absent in tasks from before there was any. */
  readonly scrub?: ScrubOptions
  readonly tempUrl: { readonly ttl_seconds?: number; readonly ip_range?: string }
}

export const NO_OPTIONS: ExportOptions = {
  object: {},
  checksums: [],
  contentHash: false,
  sidecars: [],
  verify: 'etag',
  limits: {},
  tempUrl: {}
}
