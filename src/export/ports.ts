import type { Credentials, SentPart, UploadState } from '../destinations/destination.ts'
import type { ImageId, OwnerId, TaskId } from '../domain/ids.ts'
import type { ScrubReport } from '../domain/scrub-report.ts'
import type { Secret } from '../domain/secret.ts'
import type {
  Cancel,
  Cleanup,
  ExportRequest,
  ExportResult,
  Failure,
  Priority,
  Progress,
  SentFile,
  Task,
  TaskLabels,
  TaskSummary,
  Warning
} from '../domain/task.ts'
import type { Viewer } from '../domain/viewer.ts'
import type { PolicyFacts } from '../scrub/policy.ts'
import type { Once } from './once.ts'
import type { Usage } from './quotas.ts'
import type { TaskQuery } from './task-query.ts'

/** What only the worker may read of a request. */
export type TaskSecrets = {
  readonly credentials?: Credentials | undefined
  /** Opens the encryption of the guest's disk. */
  readonly diskKey?: string | undefined
}

/** Secrets as they rest in a row: nothing in it can be read without the key-encryption key. */
export type Sealed = {
  readonly keyId: string
  /** The task's data key, wrapped: 12 bytes nonce, 32 bytes, 16 bytes tag. */
  readonly wrappedKey: Buffer
  /** 12 bytes nonce, the secrets as JSON, 16 bytes tag. */
  readonly ciphertext: Buffer
}

/** What is kept of secrets with a task; `kind` and `fingerprint` are those of credentials. When it ends, `sealed` is wiped. */
type SealedSecrets = { readonly kind: string | null; readonly fingerprint: string | null; readonly sealed: Sealed }

/** Seals secrets for one task: they open for no other. The API has this half of the vault. */
export interface Sealer {
  /** Null where there is nothing to seal. */
  seal(task: TaskId, owner: OwnerId, secrets: TaskSecrets): SealedSecrets | null
}

/** The worker's half of the vault. */
export interface Opener {
  /** Throws CredentialsLost when the key is not there any more or the bytes were changed. */
  open(task: TaskId, owner: OwnerId, sealed: Sealed): OpenedSecrets
}

type OpenedSecrets = {
  readonly credentials?: Secret<Credentials> | undefined
  readonly diskKey?: Secret<string> | undefined
}

/** The image as it was when the task was made: what the attempt has to find. Sizes in bytes. */
export type SourceIdentity = { readonly diskFormat: string; readonly size: number; readonly sha512: string }

/** An image as an export sees it; `source` is there once it is active. */
export type ExportableImage = {
  readonly status: string
  readonly name: string | null
  readonly source: SourceIdentity | undefined
  /** By which the operator decides what may leave, and how. */
  readonly facts: PolicyFacts
}

export type NewTask = {
  readonly id: TaskId
  readonly exportId: string
  /** Of the object to be written; resolved once, so that every attempt writes the same name. */
  readonly objectUrl: string
  readonly owner: OwnerId
  readonly userId: string
  readonly requestId: string
  readonly request: ExportRequest
  readonly labels: TaskLabels
  readonly credentials: SealedSecrets | null
  /** The failed task that it repeats. */
  readonly retryOf?: TaskId
}

export type CreateOutcome =
  | { readonly status: 'created'; readonly task: Task; readonly bell: Bell }
  /** An equal request has created this one before. */
  | { readonly status: 'replayed'; readonly task: Task }
  | { readonly status: 'image_not_found' }
  | { readonly status: 'image_not_active'; readonly imageStatus: string }

/** The right to work on a task, held until the lease ends. Every write of the attempt carries `epoch`. */
export type Claim = {
  readonly task: Task
  readonly epoch: number
  /** From here on the task may only be ended: its deadline has passed, or its attempts are used up. */
  readonly spent: 'deadline' | 'attempts' | null
  readonly maxAttempts: number
  /** Milliseconds until the deadline, by the database's clock. */
  readonly msLeft: number
  readonly source: SourceIdentity
  readonly sealed: Sealed | null
  /** What an earlier attempt left at the destination, for this one to go on with or to remove. */
  readonly uploadState: UploadState | null
  /** Equal to that of this attempt's file if it can be gone on with, see upload-identity.ts; null if it cannot. */
  readonly uploadIdentity: string | null
  /** Of the object, without its suffix. */
  readonly objectUrl: string
  /** What an earlier attempt has chosen by the policy `suffix`; 0 is none. */
  readonly suffix: number
  /** The file whose commit an earlier attempt has begun: it may be complete at the destination. */
  readonly sent: SentFile | null
  /** Set: what earlier attempts have left is to be removed, and the task ended. */
  readonly cancel: Cancel | null
}

/** What the task's people want now, told to its attempt with every heartbeat. */
export type Orders = {
  readonly cancel: Cancel | null
  /** Bytes per second at most. */
  readonly bandwidthBps: number | undefined
}

type CancelOutcome =
  /** It has ended, or will as soon as what was sent is removed. With a bell if a worker has to be found for that. */
  | { readonly status: 'accepted'; readonly task: Task; readonly bell?: Bell }
  | { readonly status: 'not_found' | 'finished' | 'committed' }

/** What may be changed of a task; what is absent stays. */
export type TaskChange = {
  readonly description?: string
  readonly tags?: readonly string[]
  readonly metadata?: Readonly<Record<string, string>>
  readonly priority?: Priority
  /** Null takes the limit away. */
  readonly bandwidthBps?: number | null
  readonly expiresAt?: Date
}

/** What is written down about a task on its way. */
export type TaskNote = {
  readonly sent?: SentFile | null
  readonly warnings?: readonly Warning[]
  readonly cleanup?: Cleanup
  readonly scrubReport?: ScrubReport
  /** What has to be removed if this worker dies, in place of what was written down before. */
  readonly uploadState?: UploadState
  /** Null: nobody may go on with what was sent. */
  readonly uploadIdentity?: null
}

/** A part that was begun to be sent; `sent` once the destination has confirmed it. */
export type BegunPart = { readonly number: number; readonly sent: SentPart | null }

export type Release = {
  readonly delayMs: number
  readonly countAttempt: boolean
  readonly message: string
  /** The destination has asked for the pause. */
  readonly throttled?: boolean
}

/** How fast earlier exports went. */
export type Pace = { readonly exports: number; readonly bytesPerSecond: number }

/** Thrown by writes of an attempt that has lost its lease: somebody else owns the task now. Stop, and write nothing. */
export class LeaseLost extends Error {
  override readonly name = 'LeaseLost'
}

/** Thrown by writes that would let a canceled task go on: it can only end as canceled. Nothing was written. */
export class CancelRequested extends Error {
  override readonly name = 'CancelRequested'
  readonly cancel: Cancel

  constructor(cancel: Cancel) {
    super('the task was canceled')
    this.cancel = cancel
  }
}

/**
 * Tasks in Postgres, the only truth. Time is the database's clock everywhere. Methods that take a Claim throw LeaseLost when
 * the task is not this attempt's any more, and have then written nothing.
 */
export interface TaskStore {
  /** The image, if the viewer may export it; undefined when it is unknown or another project's. */
  exportableImage(viewer: Viewer, id: ImageId): Promise<ExportableImage | undefined>
  /** Of the owner's last exports to this scheme and host; undefined when there was none. */
  pace(owner: OwnerId, origin: string): Promise<Pace | undefined>
  /**
   * Stores the task and takes the image lock in one transaction; with `once` only if no task was created so before.
   * @throws QuotaExceeded, IdempotencyKeyBusy, and what `createdBefore` throws
   */
  create(task: NewTask, viewer: Viewer, once?: Once): Promise<CreateOutcome>
  /** The task that was created so before. @throws IdempotencyKeyReused, IdempotencyTaskExpired */
  createdBefore(owner: OwnerId, once: Once): Promise<Task | undefined>
  /** What counts for the owner's quotas now. */
  usage(owner: OwnerId): Promise<Usage>
  /** The task, or undefined when it is unknown, somebody else's or expired. */
  get(viewer: Viewer, id: TaskId): Promise<Task | undefined>
  /** Throws MarkerNotFound. */
  list(viewer: Viewer, query: TaskQuery): Promise<Task[]>
  /** The same in short, and sooner. Throws MarkerNotFound. */
  summaries(viewer: Viewer, query: TaskQuery): Promise<TaskSummary[]>
  /** Of those that are still there: a number that goes up with every write. */
  versions(ids: readonly TaskId[]): Promise<ReadonlyMap<TaskId, number>>

  /**
   * Accepted exactly when the task can no longer succeed. Refused once an attempt has begun to commit: `note` with `sent` and
   * this one exclude each other. A task that waits and has left nothing anywhere is ended at once.
   */
  cancel(viewer: Viewer, id: TaskId, reason: string | null): Promise<CancelOutcome>
  /** @param decide is given the task as it is, held until the change is stored; throws to refuse */
  change(viewer: Viewer, id: TaskId, decide: (task: Task) => TaskChange): Promise<Task | undefined>
  /** Forgets a task that has ended, with its temporary URL. */
  remove(viewer: Viewer, id: TaskId): Promise<'removed' | 'not_found' | 'under_way'>

  /** Takes the task that has been due longest, if there is one: status processing, epoch and attempts one up. */
  claimDue(workerId: string): Promise<Claim | undefined>
  /** Holds the lease, stores the progress where there is news, and tells what is wanted. */
  heartbeat(claim: Claim, news: Progress | null): Promise<Orders>
  /** Writes down what is given and leaves the rest. With `sent`: throws CancelRequested, or no cancel is accepted any more. */
  note(claim: Claim, note: TaskNote): Promise<void>
  /**
   * Writes down the suffix, and that this task alone may write to this name until it ends. `name`: see object-name.ts.
   * @returns false where another task has it that has not ended; nothing is written then
   */
  takeName(
    claim: Claim,
    name: { readonly suffix: number; readonly name: string; readonly warnings: readonly Warning[] }
  ): Promise<boolean>
  /**
   * processing -> transferring, with what has to be removed if this worker dies, or gone on with where it has an identity.
   * Forgets the parts of any other upload. Throws CancelRequested.
   */
  startTransfer(
    claim: Claim,
    progress: Progress,
    uploadState: UploadState | null,
    uploadIdentity?: string | null
  ): Promise<void>
  /** Writes down parts of that upload; of a number that is there already, the last one counts. */
  noteParts(claim: Claim, parts: readonly BegunPart[]): Promise<void>
  /** Those that were written down, in rising order. */
  begunParts(claim: Claim): Promise<readonly BegunPart[]>
  /** Ends the task, wipes the credentials and frees the image, all at once. Throws CancelRequested. */
  settleSuccess(claim: Claim, result: ExportResult, progress?: Progress): Promise<void>
  /** The same. Throws CancelRequested, unless it is the failure of a canceled task. */
  settleFailure(claim: Claim, message: string, failure: Failure): Promise<void>
  /** Back to queued, due after `delayMs`, or now if it was canceled. With `countAttempt: false` the attempt is given back. */
  release(claim: Claim, options: Release): Promise<void>

  /** Ends tasks that no attempt will end any more, forgets expired ones, and says which are due. */
  sweep(): Promise<Swept>
  /** Forgets keys and counts whose day is over, and says how many. */
  forget(): Promise<{ readonly keys: number; readonly days: number }>
}

type Swept = {
  readonly due: readonly Bell[]
  readonly failed: readonly TaskId[]
  readonly expired: readonly TaskId[]
}

/** A task that is due. The epoch makes a new ring of one whose job is stuck under a dead worker. */
export type Bell = { readonly taskId: TaskId; readonly epoch: number }

/** The doorbell: says that some task is due. Losing a ring costs one sweep and nothing else, so `ring` never rejects. */
export interface ExportQueue {
  ring(bell: Bell): Promise<void>
}

/** For rings that may have been lost, or answered with another task. Rejects as little. */
export interface BellsOfSweep {
  ringAgain(bells: readonly Bell[]): Promise<void>
}

/** The clock that attempts measure with: monotonic, milliseconds. */
export type Clock = () => number

/** What an attempt and the sweep tell the log. Constant message, data in the object; no secrets in either. */
export interface Log {
  info(data: object, message: string): void
  warn(data: object, message: string): void
  error(data: object, message: string): void
}
