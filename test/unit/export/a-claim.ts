import { randomUUID } from 'node:crypto'
import { NO_OPTIONS } from '../../../src/domain/export-options.ts'
import { imageId, ownerId, taskId } from '../../../src/domain/ids.ts'
import { NO_LABELS, type Task } from '../../../src/domain/task.ts'
import type { Claim } from '../../../src/export/ports.ts'

/** The claim of attempt number `attempts` of at most three. */
export function aClaim({ attempts = 1, ...change }: Partial<Claim> & { attempts?: number } = {}): Claim {
  const task: Task = {
    id: taskId(randomUUID()),
    owner: ownerId('demo'),
    userId: 'u',
    requestId: 'r',
    request: {
      imageId: imageId(randomUUID()),
      exportTo: 'memory://place',
      exportFormat: 'raw',
      formatOptions: {},
      options: NO_OPTIONS
    },
    labels: NO_LABELS,
    exportId: randomUUID(),
    status: 'processing',
    message: '',
    progress: null,
    failure: null,
    result: null,
    scrubReport: null,
    warnings: [],
    cleanup: null,
    credentials: null,
    attempts,
    version: 1,
    cancel: null,
    retryOf: null,
    ahead: null,
    createdAt: new Date(),
    updatedAt: new Date(),
    startedAt: new Date(),
    finishedAt: null,
    expiresAt: null
  }
  return {
    task,
    epoch: attempts,
    spent: null,
    maxAttempts: 3,
    msLeft: 3_600_000,
    source: { diskFormat: 'raw', size: 512, sha512: 'aa' },
    sealed: null,
    uploadState: null,
    uploadIdentity: null,
    objectUrl: 'memory://place/x',
    suffix: 0,
    sent: null,
    cancel: null,
    ...change
  }
}
