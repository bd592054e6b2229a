import type { Checksum, ExportOptions, Sidecar, VerifyLevel } from './export-options.ts'
import type { ImageId, OwnerId, TaskId } from './ids.ts'
import type { ScrubProgress, ScrubReport } from './scrub-report.ts'

/** The specification's five statuses (Glance-tasks-export, open question 4). */
export const TASK_STATUSES = ['queued', 'processing', 'transferring', 'success', 'failure'] as const
export type TaskStatus = (typeof TASK_STATUSES)[number]

export const isTerminal = (status: TaskStatus): boolean => status === 'success' || status === 'failure'

/** Whose turn it is after a failure. */
export type Actor = 'user' | 'destination' | 'operator'

/** Why a task failed, for programs; the task's `message` says the same for people. */
export type Failure = {
  readonly code: string
  readonly actor: Actor
  /** Whether the same request may succeed later without a change. */
  readonly retriable: boolean
  readonly phase: string
  readonly attempts: number
  /** What to do. */
  readonly hint?: string
  /** Who answered what, where a destination's answer was the reason; `host` with its port if it has one. */
  readonly upstream?: { readonly status?: number; readonly host: string }
}

/** Somebody wants the task to end. `user` is one of its project, `operator` an admin of another. */
export type Cancel = { readonly by: 'user' | 'operator'; readonly reason: string | null; readonly at: Date }

/** What is known of the file once all of it was sent, before it can be seen. */
export type SentFile = {
  readonly bytes: number
  /** SHA-256 of the written bytes, lower-case hex; null where the head of the file was sent last. */
  readonly sha256: string | null
  /** SHA-256 of the SHA-256 of every part of `partBytes`, joined in the file's order; where `sha256` is null. */
  readonly composite: { readonly sha256: string; readonly partBytes: number } | null
  readonly parts: number
  /** Other digests that were asked for, lower-case hex. */
  readonly checksums?: Partial<Readonly<Record<Checksum, string>>>
  /** Of the disk's content, the same in every format; where it was asked for. */
  readonly contentHash?: { readonly algo: string; readonly value: string }
  /** The destination's answers do not show which bytes it has. */
  readonly unproved?: true
}

/** What was read back after the upload. `ok` is false where the destination did not let us look. */
export type Verified = { readonly level: VerifyLevel; readonly ok: boolean; readonly rangesRead: number }

/** What was written, known at success. */
export type ExportResult = SentFile & {
  readonly location: string
  readonly virtualSize: number
  readonly durationSeconds: number
  /** As the destination gave it. */
  readonly etag?: string
  readonly verify?: Verified
  /** True when an object with these bytes was there already, and nothing was sent. */
  readonly reused?: boolean
  /** URLs of the small objects beside it. */
  readonly sidecars?: Partial<Readonly<Record<Sidecar, string>>>
}

/** Something the user should know although the task goes on, or has succeeded. */
export type Warning = { readonly code: string; readonly message: string }

/** What became of partial data. Everything in plain words. */
export type Cleanup = {
  readonly state: 'done' | 'partial'
  readonly removed: readonly string[]
  readonly left: readonly { readonly what: string; readonly why: string }[]
}

/** How far the attempt now running is. Rates are per second and smoothed. */
export type Progress = {
  /** Bytes of the file to be written; null while nobody can know, as it is compressed on the way. */
  readonly total: number | null
  /** Bytes of the file that were handed to the destination. */
  readonly sent: number
  /** Bytes of the file that the destination has confirmed. */
  readonly acked: number
  /** Bytes that were sent again, over all attempts; of parts that a lost attempt had begun, the whole part. */
  readonly resent?: number
  /** Bytes of the disk that were read, and zeros of it that needed no reading. */
  readonly data: number
  readonly zero: number
  /** 0 to 100, of the work to be done; never less than it was, in an earlier attempt either. */
  readonly percent: number
  readonly bytesPerSecond: number | null
  readonly secondsLeft: number | null
  /** The destination has taken no byte for a minute. */
  readonly stalled: boolean
  /** It could go faster: `limits.bandwidth_bps` or the destination wants it slower. */
  readonly throttled: boolean
  /** When all this was so; ISO 8601. */
  readonly at: string
  /** What goes on, finer than the status. */
  readonly phase?: Phase
  /** While it is scrubbing. */
  readonly scrub?: ScrubProgress
}

export const NO_PROGRESS: Progress = {
  total: null,
  sent: 0,
  acked: 0,
  data: 0,
  zero: 0,
  percent: 0,
  bytesPerSecond: null,
  secondsLeft: null,
  stalled: false,
  throttled: false,
  at: new Date(0).toISOString()
}

/** The steps of an attempt; `measuring` is a first pass over the disk, for the length of a compressed file. */
export type Phase = 'preflight' | 'inspecting' | 'scrubbing' | 'measuring' | 'transferring' | 'committing' | 'verifying'

/** How the credentials look to everybody but the worker. */
type CredentialsView = {
  readonly kind: string
  /** By which their user can tell which ones they were. */
  readonly fingerprint: string | null
  readonly state: 'sealed' | 'purged'
}

/** `format_options` of the request: which a format takes, it says itself. */
export type FormatOptions = {
  readonly compression?: 'none' | 'zlib' | 'zstd'
  readonly level?: number
  /** Bytes. */
  readonly cluster_size?: number
  readonly subformat?: string
}

export const PRIORITIES = ['low', 'normal', 'high'] as const
export type Priority = (typeof PRIORITIES)[number]

/** What a client writes on its task for itself, and how it wants it handled. */
export type TaskLabels = {
  readonly description: string
  readonly tags: readonly string[]
  readonly metadata: Readonly<Record<string, string>>
  readonly priority: Priority
  /** How long the task can be read after its end; null: as long as the operator has it. */
  readonly keepSeconds: number | null
}

export const NO_LABELS: TaskLabels = { description: '', tags: [], metadata: {}, priority: 'normal', keepSeconds: null }

/** What the user asked for, checked; without the credentials, which go to the vault. */
export type ExportRequest = {
  readonly imageId: ImageId
  readonly exportTo: string
  readonly exportFormat: string
  /** As the format's schema has them; what is left out is the format's default. */
  readonly formatOptions: FormatOptions
  readonly options: ExportOptions
}

export type Task = {
  readonly id: TaskId
  readonly owner: OwnerId
  readonly userId: string | null
  readonly requestId: string | null
  readonly request: ExportRequest
  readonly labels: TaskLabels
  /** Names the object to be written; made when the task is created (the specification's final URL). */
  readonly exportId: string
  readonly status: TaskStatus
  readonly message: string
  readonly progress: Progress | null
  readonly failure: Failure | null
  readonly result: ExportResult | null
  /** What the last attempt has taken out of the image; null while none has, or where there was nothing to send. */
  readonly scrubReport: ScrubReport | null
  readonly warnings: readonly Warning[]
  readonly cleanup: Cleanup | null
  readonly credentials: CredentialsView | null
  readonly attempts: number
  /** Goes up with every write of the task. */
  readonly version: number
  readonly cancel: Cancel | null
  /** The failed task that this one repeats. */
  readonly retryOf: TaskId | null
  /** Queued tasks that will be started before it, counted up to 1000; null where it does not wait or nobody has counted. */
  readonly ahead: number | null
  readonly createdAt: Date
  readonly updatedAt: Date
  readonly startedAt: Date | null
  readonly finishedAt: Date | null
  /** Set when the task ends: from then on it answers 404. */
  readonly expiresAt: Date | null
}

/** What lists say of a task. */
export type TaskSummary = Pick<Task, 'id' | 'owner' | 'status' | 'createdAt' | 'updatedAt' | 'expiresAt'> & {
  readonly request: Pick<ExportRequest, 'imageId'>
}
