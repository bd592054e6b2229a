import { OptionUnsupported } from '../../domain/export-errors.ts'
import type { ExportOptions } from '../../domain/export-options.ts'
import type { TaskLabels } from '../../domain/task.ts'
import { timeOf } from '../../domain/time.ts'
import { TEMPURL } from './temp-url-request.ts'

/** The most that the operator lets a task ask for. */
export type TaskMaxima = {
  readonly attempts: number
  readonly deadlineSeconds: number
  readonly keepSeconds: number
}

const NO_MAXIMA: TaskMaxima = {
  attempts: Number.POSITIVE_INFINITY,
  deadlineSeconds: Number.POSITIVE_INFINITY,
  keepSeconds: Number.POSITIVE_INFINITY
}

/** @throws OptionUnsupported for what is beyond the operator's maximum, a deadline that has passed, and a time twice */
export function checkLimits(
  exportTo: string,
  { limits }: ExportOptions,
  { keepSeconds }: TaskLabels,
  maxima = NO_MAXIMA,
  now = new Date()
): void {
  if ((limits.max_attempts ?? 0) > maxima.attempts) {
    throw new OptionUnsupported('/limits/max_attempts', `the operator allows at most ${maxima.attempts}`)
  }
  if (limits.deadline !== undefined) {
    const deadline = timeOf(limits.deadline)
    if (!deadline) throw new OptionUnsupported('/limits/deadline', 'it is not a time that exists')
    const seconds = (deadline.getTime() - now.getTime()) / 1000
    if (seconds <= 0) throw new OptionUnsupported('/limits/deadline', 'it has passed')
    if (seconds > maxima.deadlineSeconds) {
      throw new OptionUnsupported(
        '/limits/deadline',
        `the operator allows at most ${maxima.deadlineSeconds} seconds from now`
      )
    }
  }
  if (keepSeconds === null) return
  if (exportTo === TEMPURL) {
    throw new OptionUnsupported(
      '/expires_after_seconds',
      'a task with a temporary URL is kept as long as the URL is good: use temp_url.ttl_seconds'
    )
  }
  if (keepSeconds > maxima.keepSeconds) {
    throw new OptionUnsupported('/expires_after_seconds', `the operator allows at most ${maxima.keepSeconds}`)
  }
}
