import { expect, it } from 'vitest'
import { TaskNotFound } from '../../../src/domain/errors.ts'
import type { Viewer } from '../../../src/domain/viewer.ts'
import { retryExport } from '../../../src/export/requests/retry-export.ts'
import { aClaim } from './a-claim.ts'

it('asked for again with its key is the task that it was, though the failed one has expired since', async () => {
  const { task: failed } = aClaim()
  const { task: again } = aClaim()
  const viewer: Viewer = { owner: failed.owner, userId: 'u', roles: [], admin: false }
  const asked = { operation: `POST /v2/tasks/${failed.id}/retry`, key: 'k', body: null }
  const retry = retryExport({
    getTask: async () => {
      throw new TaskNotFound(failed.id)
    },
    createExport: async () => {
      throw new Error('there is nothing to create')
    },
    createdBefore: async (owner, once) =>
      owner === failed.owner && once === asked ? { task: again, replayed: true } : undefined
  })

  expect(await retry(viewer, 'r', failed.id, {}, asked)).toEqual({ task: again, replayed: true })
  await expect(retry(viewer, 'r', failed.id, {})).rejects.toBeInstanceOf(TaskNotFound)
})
