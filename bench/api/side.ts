/** Everything that serves runs on the one core, the load generator and this bench on the other. */
export const SERVER_CORE = '0'
export const LOAD_CORE = '1'
/** Of ours, exported in turn: nobody exports one image all the time. */
export const IMAGES = 50

/** One of the two that are compared. Tokens are `user:project:role`. */
export type Side = {
  readonly name: string
  readonly url: string
  /** Bodies of POSTs to /v2/tasks, to be sent in turn. */
  newTasks(): readonly string[]
  /** Stores `count` running tasks of a project, a second apart; their ids are `rowId`'s of `above` + 1 and up. */
  insertRows(owner: string, count: number, above: number): Promise<void>
  stop(): Promise<void>
}

/** Id of the inserted task number `index`; of one project the newest has the highest. */
export const rowId = (index: number): string =>
  `${index.toString(16).padStart(8, '0')}-0000-4000-8000-${index.toString(16).padStart(12, '0')}`
