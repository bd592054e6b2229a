import { randomUUID } from 'node:crypto'
import type { Credentials } from '../destinations/destination.ts'
import type { Destinations } from '../destinations/registry.ts'
import { objectUrl, parseTarget } from '../destinations/target.ts'
import { FormatUnsupported } from '../domain/errors.ts'
import { type ImageId, taskId } from '../domain/ids.ts'
import { ImageNotActive, ImageNotFound } from '../domain/image-errors.ts'
import type { FormatOptions, Task } from '../domain/task.ts'
import type { Viewer } from '../domain/viewer.ts'
import { chooseFormat } from '../formats/format-family.ts'
import type { Formats } from '../formats/registry.ts'
import type { ExportQueue, TaskStore, Vault } from './ports.ts'

/** What a client asks for. `credentials` were checked against the schemas of the destinations. */
export type ExportBody = {
  readonly imageId: ImageId
  readonly exportTo: string
  readonly exportFormat: string
  readonly formatOptions: FormatOptions
  readonly credentials?: Credentials
}

/**
 * Checks everything that can be known at once, then stores the task, which locks the image. The queue is told afterwards and
 * on a best effort: the row is its own outbox.
 * @throws FormatUnsupported, DestinationInvalid, ImageNotFound, ImageNotActive; nothing is stored then
 */
export function createExport(uses: {
  readonly tasks: TaskStore
  readonly queue: ExportQueue
  readonly vault: Vault
  readonly formats: Formats
  readonly destinations: Destinations
}) {
  return async (viewer: Viewer, requestId: string, body: ExportBody): Promise<Task> => {
    const family = uses.formats.get(body.exportFormat)
    if (!family) throw new FormatUnsupported([...uses.formats.keys()])
    chooseFormat(family, body.formatOptions)
    const id = taskId(randomUUID())
    const exportId = randomUUID()
    const target = parseTarget(body.exportTo)
    uses.destinations.forTarget(target).check(objectUrl(target, exportId), body.credentials)

    const outcome = await uses.tasks.create(
      {
        id,
        exportId,
        owner: viewer.owner,
        userId: viewer.userId,
        requestId,
        request: {
          imageId: body.imageId,
          exportTo: body.exportTo,
          exportFormat: body.exportFormat,
          formatOptions: body.formatOptions
        },
        credentials: body.credentials
          ? { kind: body.credentials.kind, sealed: uses.vault.seal(id, viewer.owner, body.credentials) }
          : null
      },
      viewer
    )
    if (outcome.status === 'image_not_found') throw new ImageNotFound(body.imageId)
    if (outcome.status === 'image_not_active') throw new ImageNotActive(body.imageId, outcome.imageStatus)
    await uses.queue.ring(outcome.bell)
    return outcome.task
  }
}
