import { randomUUID } from 'node:crypto'
import type { Credentials, UploadTarget } from '../../src/destinations/destination.ts'
import { ownerId, taskId } from '../../src/domain/ids.ts'
import { Secret } from '../../src/domain/secret.ts'

/** A target as an export makes it, of one new object below `prefix`. */
export function uploadTarget(
  prefix: string,
  length: number,
  credentials?: Credentials,
  changes: Partial<UploadTarget> = {}
): UploadTarget {
  const exportId = randomUUID()
  return {
    url: new URL(`${prefix}/${exportId}`),
    credentials: credentials && new Secret(credentials),
    marks: {
      taskId: taskId(randomUUID()),
      owner: ownerId('project'),
      exportId,
      contentId: 'c0ffee'.padEnd(64, '0')
    },
    object: { replace: false },
    length,
    exact: true,
    mediaType: 'application/x-test',
    virtual: false,
    ...changes
  }
}
