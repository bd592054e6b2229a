import type { BellsOfSweep, Log, TaskStore } from './ports.ts'

/**
 * Finds what the queue lost and ends what nobody will end. Any process may run it, any number at once, at any time.
 * Run every few seconds: it bounds how long a lost ring or a dead worker can delay a task.
 */
export function sweepTasks(uses: { readonly tasks: TaskStore; readonly queue: BellsOfSweep; readonly log: Log }) {
  return async (): Promise<void> => {
    const { due, failed, expired } = await uses.tasks.sweep()
    for (const taskId of failed) uses.log.warn({ taskId }, 'task ended by the sweep')
    for (const taskId of expired) uses.log.info({ taskId }, 'expired task removed')
    await uses.queue.ringAgain(due)
  }
}
