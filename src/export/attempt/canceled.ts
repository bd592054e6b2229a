import type { Cancel, Cleanup, Failure } from '../../domain/task.ts'

const CODES = { user: 'CANCELED_BY_USER', operator: 'CANCELED_BY_OPERATOR' } as const

/** Whether a task has ended because somebody wanted it to. */
export const isCanceled = ({ code }: Failure): boolean => Object.values<string>(CODES).includes(code)

/** How a canceled task ends. */
export function canceledEnding(
  { by, reason }: Cancel,
  at: Pick<Failure, 'phase' | 'attempts'>,
  cleanup: Cleanup | null
): { readonly message: string; readonly failure: Failure } {
  const who =
    by === 'user' ? 'The export was canceled by a user of its project' : 'The export was canceled by the operator'
  const what = reason === null ? who : `${who}: ${reason.replace(/[.\s]+$/, '')}`
  const rest =
    cleanup &&
    (cleanup.state === 'done'
      ? ' What had been sent was removed.'
      : ' Not all of what had been sent could be removed, see cleanup.')
  return {
    message: `${what}.${rest ?? ''}`,
    failure: { code: CODES[by], actor: by, retriable: true, ...at, hint: 'if it is wanted after all, retry the task' }
  }
}

/** What is said of a task that is being canceled. */
export const CANCELING = 'The export is being canceled: what was sent is removed first.'
