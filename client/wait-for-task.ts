import { attempt } from './attempt.ts'
import type { ExportClient, Task } from './client.ts'
import { TaskFailed } from './errors.ts'
import { Pauses, sleep } from './pauses.ts'

export type WaitOptions = {
  /** Ends the wait, such as `AbortSignal.timeout(3_600_000)`. The task goes on. */
  readonly signal?: AbortSignal
  /** Called with the task as it is now, at first and whenever it has changed. */
  readonly onProgress?: (task: Task) => void
  /** For how long to go on when there is no answer, or none but 429 and 5xx: 600 if left out. */
  readonly patienceSeconds?: number
}

/** How long the service may hold a request until there is news. Proxies often cut off what is silent for a minute. */
const HOLD_SECONDS = 30
/** News are not asked for more often than this, however fast they come. */
const NEWS_MS = 1000

/**
 * The task once it has succeeded. Asks the service to answer when there is news (RFC 7240 `Prefer: wait`); of one that does
 * not do that it asks after the pauses that the service wants, or else after growing ones.
 * @throws TaskFailed when the task has ended with a failure
 * @throws RequestRefused when the service refuses to show it: 401, 403, or 404 once it has expired
 * @throws the reason of `signal`, or what went wrong last when patience has run out
 */
export async function waitForTask(client: ExportClient, id: string, options: WaitOptions = {}): Promise<Task> {
  const { signal, onProgress, patienceSeconds = 600 } = options
  const pauses = new Pauses()
  let known: { readonly text: string; readonly etag: string | null } | undefined
  let answeredAt = Date.now()

  for (;;) {
    const askedAt = Date.now()
    const {
      data: task,
      response,
      trouble
    } = await attempt(signal, () =>
      client.GET('/v2/tasks/{taskId}', {
        params: { path: { taskId: id } },
        headers: known?.etag ? { 'if-none-match': known.etag, prefer: `wait=${HOLD_SECONDS}` } : {},
        ...(signal && { signal })
      })
    )
    const tookMs = Date.now() - askedAt
    if (!trouble) answeredAt = Date.now()
    else if (Date.now() - answeredAt > patienceSeconds * 1000) throw trouble

    const seen = task && { text: JSON.stringify(task), etag: response?.headers.get('etag') ?? null }
    const isNews = seen !== undefined && seen.text !== known?.text
    known = seen ?? known
    if (task && isNews) {
      pauses.reset()
      onProgress?.(task)
      if (task.task_status === 'success') return task
      if (task.task_status === 'failure') throw new TaskFailed(task)
    }
    // With an ETag the service may hold the next request. The one before was held if it took its time.
    const wasHeld = response?.status === 304 && tookMs > NEWS_MS
    if (isNews && seen.etag) await sleep(NEWS_MS - tookMs, signal)
    else if (!wasHeld) await sleep(pauses.after(response), signal)
  }
}
