import type { TSchema } from 'typebox'
import type { ByteSource } from '../domain/bytes.ts'
import type { Secret } from '../domain/secret.ts'

/** `export_to_credentials` after its schema was checked; `kind` tells which. */
export type Credentials = { readonly kind: string } & Readonly<Record<string, unknown>>

/** One object to be written: where it goes and what is known of it before its first byte. */
export type UploadTarget = {
  /** The whole URL of the object: `<export_to>/<export_id>`, checked by `check`. */
  readonly url: URL
  readonly credentials: Secret<Credentials> | undefined
  /** Bytes of the object; where `exact` is false, the most it can have. */
  readonly length: number
  readonly exact: boolean
  readonly mediaType: string
}

/** A range of the file: bytes [offset, offset + length), `number` counts from 1 in file order. */
export type Part = { readonly number: number; readonly offset: number; readonly length: number }

/** What must be known to remove an upload whose worker died. JSON, without secrets; kept with the task. */
export type UploadState = Readonly<Record<string, string>>

/**
 * One write to one target. A driver never retries, logs, counts or hashes the whole: that is done around it.
 *
 * Promises:
 * - Nothing can be seen at the target's URL before `commit` has begun (where the destination can do that).
 * - `putPart` sends exactly `part.length` bytes and reads `body` no faster than the destination takes it. It rejects when
 *   the destination refuses, resets, falls silent for the idle limit, or acknowledges other bytes than were sent. After it
 *   has rejected or `signal` has fired it asks for no further chunk.
 * - Parts may come in any order and several at once, up to `parallel`.
 * - `commit` is called once, after every part, and returns the URL where the object now is, without a query.
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
  putPart(part: Part, body: ByteSource, signal: AbortSignal): Promise<void>
  commit(signal: AbortSignal): Promise<string>
  abort(): Promise<void>
}

/**
 * A kind of place that images go to.
 *
 * `check` is pure and quick: it refuses at request time what can never work (DestinationInvalid: a URL without a bucket,
 * credentials of a wrong kind). `open` may talk to the destination; it throws DestinationError for what it answers.
 * `discard` removes what an upload with this state left behind; a state that is gone already is no error.
 * Adding a destination: one folder here, one line in registry.ts, one call of the destination contract suite.
 */
export interface Destination {
  /** Of `export_to`, without the colon. */
  readonly schemes: readonly string[]
  /** JSON Schemas of the credentials it takes, one a `kind`. */
  readonly credentialSchemas: readonly TSchema[]
  /** Takes parts in any order, and an object whose length is known only with its last part. Otherwise: one body, exact. */
  readonly anyOrder: boolean
  /** True when a request without credentials makes sense. */
  readonly anonymous: boolean
  check(url: URL, credentials: Credentials | undefined): void
  open(target: UploadTarget, signal: AbortSignal): Promise<Upload>
  discard(target: UploadTarget, state: UploadState, signal: AbortSignal): Promise<void>
}
