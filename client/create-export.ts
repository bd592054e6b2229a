import { attempt } from './attempt.ts'
import type { ExportClient, ExportRequest, Task } from './client.ts'
import { Pauses, sleep } from './pauses.ts'

export type CreateOptions = {
  readonly signal?: AbortSignal
  /** The same for the same wish, also in another run of a program; a new one if left out. */
  readonly idempotencyKey?: string
  /** For how long to go on when there is no answer, or none but 429 and 5xx: 60 if left out. */
  readonly patienceSeconds?: number
}

/**
 * Asks for an export; give the task's id to `waitForTask`. Asks again where it is not known whether there is a task now: with
 * the same Idempotency-Key, so that there is one.
 * @throws RequestRefused
 * @throws the reason of `signal`, or what went wrong last when patience has run out
 */
export async function createExport(
  client: ExportClient,
  request: Omit<ExportRequest, 'dry_run'>,
  options: CreateOptions = {}
): Promise<Task> {
  const { signal, idempotencyKey = crypto.randomUUID(), patienceSeconds = 60 } = options
  const pauses = new Pauses()
  const giveUpAt = Date.now() + patienceSeconds * 1000

  for (;;) {
    const { data, response, trouble } = await attempt(signal, () =>
      client.POST('/v2/tasks', {
        body: request,
        headers: { 'idempotency-key': idempotencyKey },
        ...(signal && { signal })
      })
    )
    if (data && 'task_status' in data) return data
    if (!trouble) throw new Error('the service has made no task')
    if (Date.now() > giveUpAt) throw trouble
    await sleep(pauses.after(response), signal)
  }
}
