import { TaskNotFound } from '../../domain/errors.ts'
import { OptionUnsupported } from '../../domain/export-errors.ts'
import type { TaskId } from '../../domain/ids.ts'
import { isTerminal, type Priority, type Task } from '../../domain/task.ts'
import { TaskChanged, TaskFinished, TaskNotFinished, TaskStarted } from '../../domain/task-errors.ts'
import type { Viewer } from '../../domain/viewer.ts'
import type { TaskChange, TaskStore } from '../ports.ts'
import { TEMPURL } from './temp-url-request.ts'

/** A merge patch (RFC 7396): null takes away, what is absent stays. */
export type TaskPatch = {
  readonly description?: string | null
  readonly tags?: readonly string[] | null
  readonly metadata?: Readonly<Record<string, string | null>> | null
  readonly priority?: Priority
  readonly limits?: { readonly bandwidth_bps?: number | null }
  readonly expires_at?: Date
}

export type ChangeUses = {
  readonly tasks: TaskStore
  /** How far ahead the end of a task may be put, and that of one whose file is downloaded here. */
  readonly maxKeepSeconds: number
  readonly maxTempUrlSeconds: number
}

const MOST_METADATA = 50

/**
 * Changes what can be changed of a task while it is what it is.
 * @param version the task has to be this one; undefined: whatever it is
 * @throws TaskNotFound, TaskChanged, TaskFinished, TaskNotFinished, TaskStarted, OptionUnsupported
 */
export function changeTask(uses: ChangeUses) {
  return async (viewer: Viewer, id: TaskId, patch: TaskPatch, version: number | undefined): Promise<Task> => {
    const task = await uses.tasks.change(viewer, id, (task) => {
      if (version !== undefined && task.version !== version) throw new TaskChanged()
      return changeOf(uses, task, patch)
    })
    if (!task) throw new TaskNotFound(id)
    return task
  }
}

function changeOf(uses: ChangeUses, task: Task, patch: TaskPatch): TaskChange {
  const { description, tags, metadata, priority, limits, expires_at: expiresAt } = patch
  const bandwidthBps = limits?.bandwidth_bps
  if (isTerminal(task.status) && priority !== undefined) throw new TaskFinished('its priority does not matter any more')
  if (isTerminal(task.status) && bandwidthBps !== undefined) throw new TaskFinished('nothing is sent any more')
  if (task.status !== 'queued' && priority !== undefined) throw new TaskStarted()
  if (expiresAt) checkExpiry(uses, task, expiresAt)
  return {
    ...(description !== undefined && { description: description ?? '' }),
    ...(tags !== undefined && { tags: tags ?? [] }),
    ...(metadata !== undefined && { metadata: merged(task.labels.metadata, metadata) }),
    ...(priority !== undefined && { priority }),
    ...(bandwidthBps !== undefined && { bandwidthBps }),
    ...(expiresAt && { expiresAt })
  }
}

function checkExpiry({ maxKeepSeconds, maxTempUrlSeconds }: ChangeUses, task: Task, wanted: Date): void {
  if (!task.expiresAt) throw new TaskNotFinished('when it expires is set at its end, and can be put off then')
  const seconds = task.request.exportTo === TEMPURL ? maxTempUrlSeconds : maxKeepSeconds
  // Answers show whole seconds: what was shown may be sent back.
  const earliest = Math.floor(task.expiresAt.getTime() / 1000) * 1000
  if (wanted.getTime() < earliest) throw new OptionUnsupported('/expires_at', 'it can only be put off')
  if (wanted.getTime() > Math.max(earliest, Date.now() + seconds * 1000)) {
    throw new OptionUnsupported('/expires_at', `the operator allows at most ${seconds} seconds from now`)
  }
}

function merged(
  before: Readonly<Record<string, string>>,
  patch: Readonly<Record<string, string | null>> | null
): Readonly<Record<string, string>> {
  const after = Object.entries({ ...before, ...patch }).filter((entry): entry is [string, string] => entry[1] !== null)
  if (patch && after.length > MOST_METADATA) {
    throw new OptionUnsupported('/metadata', `it may have at most ${MOST_METADATA} names`)
  }
  return patch === null ? {} : Object.fromEntries(after)
}
