import type { OwnerId } from '../domain/ids.ts'
import { QuotaExceeded } from '../domain/request-errors.ts'

/** What one project may do; 0 is no limit. */
export type Quotas = {
  /** Tasks that have not ended. */
  readonly activeTasks: number
  /** Bytes of the tasks created within 24 hours. */
  readonly bytesPerDay: number
}

export const NO_QUOTAS: Quotas = { activeTasks: 0, bytesPerDay: 0 }

/** What it does. A task counts for the size of its image, or of its file once that is known. */
export type Usage = { readonly activeTasks: number; readonly bytesToday: number }

/**
 * Whether one more task of an image of `bytes` may be made.
 * @throws QuotaExceeded
 */
export function assertWithin({ activeTasks, bytesPerDay }: Quotas, usage: Usage, bytes: number): void {
  if (activeTasks > 0 && usage.activeTasks >= activeTasks) {
    throw new QuotaExceeded(
      `This project has ${usage.activeTasks} tasks that have not ended, and may have ${activeTasks}: ` +
        'wait until one has ended, cancel one, or ask the operator for more.'
    )
  }
  if (bytesPerDay > 0 && usage.bytesToday + bytes > bytesPerDay) {
    throw new QuotaExceeded(
      `This project's tasks of the last 24 hours have ${usage.bytesToday} of ${bytesPerDay} bytes, ` +
        `and this image has ${bytes}: wait until older tasks no longer count, or ask the operator for more.`
    )
  }
}

/** The check of a dry run; undefined where there are no quotas. */
export function quotaCheck(quotas: Quotas, usageOf: (owner: OwnerId) => Promise<Usage>) {
  if (quotas.activeTasks === 0 && quotas.bytesPerDay === 0) return undefined
  return async (owner: OwnerId, bytes: number): Promise<void> => assertWithin(quotas, await usageOf(owner), bytes)
}
