import type { ImageId, TaskId } from '../domain/ids.ts'
import type { FormatOptions } from '../domain/task.ts'
import type { Viewer } from '../domain/viewer.ts'
import type { SourceIdentity } from '../export/ports.ts'

/** One exported file that may be downloaded from here. */
export type TempUrl = {
  readonly taskId: TaskId
  readonly imageId: ImageId
  readonly fileName: string
  readonly bytes: number
  /** Of the file, lower-case hex. */
  readonly sha256: string
  /** It is made from the image whenever it is read; otherwise it is kept in the staging folder. */
  readonly virtual: boolean
  /** Of the service that made the file: another one may lay it out in another way. */
  readonly layoutVersion: number
  /** URLs that were signed with an earlier one are void. */
  readonly generation: number
  /** Who may use the URL that the task shows; null is everybody. */
  readonly ipRange: string | null
  readonly createdAt: Date
  readonly expiresAt: Date
}

/** With all that is needed to make the file again. */
export type Servable = TempUrl & {
  readonly source: SourceIdentity
  readonly exportFormat: string
  readonly formatOptions: FormatOptions
}

type TempUrlChange = {
  readonly ttlMs: number
  /** Undefined leaves it as it is. */
  readonly ipRange: string | null | undefined
  /** Makes every URL void that was given out before, and lets the time end earlier than it did. */
  readonly revokeEarlier: boolean
}

/** What one request has downloaded. */
export type Download = {
  readonly startedAt: Date
  /** Null while it goes on, or when its process died. */
  readonly finishedAt: Date | null
  /** Address of the client. */
  readonly client: string
  readonly status: number
  /** Bytes [from, to) that were asked for. */
  readonly from: number
  readonly to: number
  readonly bytesSent: number
  /** Whether all of it was sent. */
  readonly complete: boolean
}

export type NewDownload = Pick<Download, 'client' | 'status' | 'from' | 'to'>

/** Temporary URLs in Postgres. Time is the database's clock. A URL lives until it expires or is revoked. */
export interface TempUrlStore {
  /** The living ones of these tasks, whoever asks, in any order. */
  find(ids: readonly TaskId[]): Promise<Servable[]>
  /**
   * Sets how long it lives, and its task with it; never less than before unless earlier URLs are revoked.
   * @returns it, and when a URL that is made now has to end; undefined when the viewer has no living one
   */
  extend(viewer: Viewer, id: TaskId, change: TempUrlChange): Promise<{ tempUrl: TempUrl; until: Date } | undefined>
  /** Ends it for good and frees the image. False when the viewer's task never had one. */
  revoke(viewer: Viewer, id: TaskId): Promise<boolean>

  /** Writes down that a download begins. Undefined when the URL has ended meanwhile. */
  startDownload(tempUrl: TempUrl, download: NewDownload): Promise<string | undefined>
  /** Shows that it goes on. False when its URL was revoked. */
  touchDownload(download: string, tempUrl: TempUrl, bytesSent: number): Promise<boolean>
  endDownload(download: string, bytesSent: number, complete: boolean): Promise<void>
  /** The newest first, at most 1000; undefined when the viewer's task never had a URL. */
  downloads(viewer: Viewer, id: TaskId): Promise<Download[] | undefined>

  /** Those that have ended and whose files nobody downloads any more, or only for longer than `graceMs`. */
  ended(graceMs: number): Promise<TaskId[]>
  /** Their files are gone: forgets those that have expired. */
  filesRemoved(ids: readonly TaskId[]): Promise<void>
  /** Of these, those that neither a task under way nor a URL needs. */
  unknown(ids: readonly TaskId[]): Promise<TaskId[]>
}
