import type { TSchema } from 'typebox'
import type { ByteSource } from '../domain/bytes.ts'
import type { DestinationError } from '../domain/destination-errors.ts'
import type { ObjectOptions } from '../domain/export-options.ts'
import type { OwnerId, TaskId } from '../domain/ids.ts'
import type { Secret } from '../domain/secret.ts'

/** `export_to_credentials` after its schema was checked; `kind` tells which. */
export type Credentials = { readonly kind: string } & Readonly<Record<string, unknown>>

/** Options of the object that a driver carries out; its name and what to do about an older one are settled before. */
type ObjectSettings = Omit<ObjectOptions, 'key_template' | 'if_exists'> & {
  /** False: the write has to fail, at the latest when it is committed, if an object of this name has appeared meanwhile. */
  readonly replace: boolean
}

/** Kept with the object where the destination can keep something, so that it can be told from another's later. */
export type Marks = {
  readonly taskId: TaskId
  readonly owner: OwnerId
  /** The specification's export id: one for each task. */
  readonly exportId: string
  /** Equal for two exports that write the same bytes: the same image, format, options and version. Hex. */
  readonly contentId: string
}

/** One object: where it goes and what is known of it before its first byte. */
export type UploadTarget = {
  /** The whole URL of the object, checked by `check`; without a query. */
  readonly url: URL
  readonly credentials: Secret<Credentials> | undefined
  readonly marks: Marks
  readonly object: ObjectSettings
  /** Bytes of the object; where `exact` is false, the most it can have. */
  readonly length: number
  readonly exact: boolean
  readonly mediaType: string
  /** The service can make any range of these bytes again from the image, so a place of its own need not keep them. */
  readonly virtual: boolean
}

/** A range of the file: bytes [offset, offset + length), `number` counts from 1 in file order. */
export type Part = { readonly number: number; readonly offset: number; readonly length: number }

/** What must be known to go on with an upload whose worker died, or to remove it. JSON, without secrets; kept with the task. */
export type UploadState = Readonly<Record<string, string>>

/**
 * A part that the destination has confirmed; kept with the task. `tag` is the destination's name for its bytes (an ETag),
 * absent where it has none.
 */
export type SentPart = { readonly number: number; readonly bytes: number; readonly tag?: string }

/** An upload that an earlier attempt has begun, and those of its parts that need not be sent again. */
export type ResumedUpload = { readonly upload: Upload; readonly kept: readonly SentPart[] }

/** What was removed, each in plain words ("multipart upload", "37 segments"); empty when there was nothing. */
export type Removed = readonly string[]

/** The object as it now is. `location` is its URL without a query; `etag` as the destination gave it. */
export type Committed = {
  readonly location: string
  readonly etag?: string
  /** What is left of an object that was replaced, in plain words, and why it could not be removed. */
  readonly left?: { readonly what: string; readonly error: DestinationError }
}

/**
 * One write to one target. A driver never retries, logs, counts or hashes the whole: that is done around it.
 *
 * Promises:
 * - Nothing can be seen at the target's URL before `commit` has begun (where the destination can do that).
 * - `putPart` sends exactly `part.length` bytes and reads `body` no faster than the destination takes it. It rejects when
 *   the destination refuses, resets, falls silent for the idle limit, or acknowledges other bytes than were sent. After it
 *   has rejected or `signal` has fired it asks for no further chunk.
 * - Parts may come in any order and several at once, up to `parallel`; a part that failed may be sent again.
 * - `commit` is called after every part. When it has failed with a passing error it may be called again, also when the object
 *   was completed and only the answer was lost: then it succeeds. Once it has succeeded it is not called any more.
 * - `abort` may be called at any time, more than once, also when nothing was sent; it removes what was sent and never
 *   throws for something that is gone already. After `commit` succeeded it does nothing.
 */
export interface Upload {
  /** Bytes of every part but the last, which may be shorter. The whole length when there is one part. */
  readonly partBytes: number
  /** How many parts may be under way at once. */
  readonly parallel: number
  /** Recorded by the caller before the first part; null when a dead worker leaves nothing behind. */
  readonly state: UploadState | null
  /**
   * Known once every part was sent. True: nothing that the destination has answered shows which bytes it has, where such a
   * destination can show it, so they have to be read back.
   */
  readonly unproved?: boolean
  putPart(part: Part, body: ByteSource, signal: AbortSignal): Promise<SentPart>
  commit(signal: AbortSignal): Promise<Committed>
  abort(): Promise<Removed>
}

/** What stands at a target's URL now. `unreadable`: these credentials may not look. The marks are absent where none are kept. */
export type Found =
  | { readonly status: 'absent' }
  | { readonly status: 'unreadable' }
  | {
      readonly status: 'present'
      /** Bytes; undefined where the destination does not say. */
      readonly length: number | undefined
      readonly exportId: string | undefined
      readonly contentId: string | undefined
    }

/** What a check is about, in the order in which they are made. */
export type CheckId = 'dest.tls' | 'dest.auth' | 'dest.container' | 'dest.limits' | 'dest.write_probe'

/** One question to the destination beforehand. `run` throws DestinationError; what it made it has removed when it returns. */
export type DestinationCheck = {
  readonly id: CheckId
  /**
   * @returns facts for the user, such as the planned parts; without secrets. `skipped`: it could not be asked, and why
   */
  run(signal: AbortSignal): Promise<Readonly<Record<string, string | number>> | undefined>
}

/**
 * A kind of place that images go to.
 *
 * `check` is pure and quick: it refuses at request time what can never work (DestinationInvalid: a URL without a bucket,
 * credentials of a wrong kind). All others may talk to the destination and throw DestinationError for what it answers.
 * Adding a destination: one folder here, one line in registry.ts, one call of the destination contract suite.
 */
export interface Destination {
  /** Of `export_to`, without the colon. */
  readonly schemes: readonly string[]
  /** JSON Schemas of the credentials it takes, one a `kind`. */
  readonly credentialSchemas: readonly TSchema[]
  /** What it can do of the options of the object; another option is refused at request time. */
  readonly objectOptions: readonly (keyof Omit<ObjectSettings, 'replace'>)[]
  /**
   * Whether an upload with these credentials takes parts in any order, and an object whose length is known only with its
   * last part. Otherwise: one body, exact.
   */
  anyOrder(credentials: Credentials | undefined): boolean
  /** True when a request without credentials makes sense. */
  readonly anonymous: boolean
  check(url: URL, credentials: Credentials | undefined): void
  /** True when the credentials are good for one object only: then `export_to` is its whole URL and nothing is appended. */
  namesObject(credentials: Credentials | undefined): boolean
  /** True when nothing that was written can be read back with these credentials, whatever the place allows. Absent: never. */
  writesOnly?(credentials: Credentials | undefined): boolean
  /** The questions that can be asked beforehand, in order; each may rely on those before it. */
  checks(target: UploadTarget): readonly DestinationCheck[]
  find(target: UploadTarget, signal: AbortSignal): Promise<Found>
  /** The bytes [from, to) of the object that stands at the target's URL. */
  read(target: UploadTarget, range: { readonly from: number; readonly to: number }, signal: AbortSignal): ByteSource
  /** Removes the object at the target's URL with all that belongs to it; one that is gone is no error. */
  remove(target: UploadTarget, signal: AbortSignal): Promise<void>
  /**
   * What is to be written down before `open`, so that `discard` can tell what that has begun from what is others', if nobody gets
   * to write down its state. Absent, or undefined: it can without.
   */
  intend?(target: UploadTarget, signal: AbortSignal): Promise<UploadState | undefined>
  open(target: UploadTarget, signal: AbortSignal): Promise<Upload>
  /**
   * Goes on with the upload of an earlier attempt, on this worker or another. Absent where a destination cannot. Asks the
   * destination what it has: `kept` are those of `sent` that still stand there with the same length and tag.
   * @param target the same file as then
   * @param sent the parts whose confirmation was written down
   * @returns the upload with the parts' size and the state it had, where a kept part may be sent again all the same; undefined
   *   when it is gone, or cannot be gone on with: then it is discarded and begun anew
   */
  resume?(
    target: UploadTarget,
    state: UploadState,
    sent: readonly SentPart[],
    signal: AbortSignal
  ): Promise<ResumedUpload | undefined>
  /**
   * Removes what uploads of this export to this target have left: the one of this state, and those whose worker died before
   * their state was recorded, as far as the destination can find them. Only what is certainly of this export is removed. What
   * is gone already is no error.
   * @param state of `intend` when no other was recorded; null when none was
   */
  discard(target: UploadTarget, state: UploadState | null, signal: AbortSignal): Promise<Removed>
  /**
   * Removes what stays of an upload beside its object where its worker died in the middle of completing it. The object stands.
   * Absent where nothing can stay.
   */
  tidy?(target: UploadTarget, signal: AbortSignal): Promise<Removed>
}
