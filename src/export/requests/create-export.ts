import { randomUUID } from 'node:crypto'
import { type OwnerId, taskId } from '../../domain/ids.ts'
import { ImageNotActive, ImageNotFound } from '../../domain/image-errors.ts'
import type { Task } from '../../domain/task.ts'
import type { Viewer } from '../../domain/viewer.ts'
import type { BodyPrints, OnceAsked } from '../once.ts'
import type { ExportQueue, Sealer, TaskStore } from '../ports.ts'
import { assertExportable } from '../scrub-policy.ts'
import { type ExportBody, type ResolveUses, resolveRequest } from './resolve-request.ts'

/** `replayed`: an equal request has created it before. */
export type Created = { readonly task: Task; readonly replayed: boolean }

/** What an equal request has created; nothing when it was not asked to be made once. */
export function createdBefore(uses: { readonly tasks: TaskStore; readonly bodyPrints: BodyPrints }) {
  return async (owner: OwnerId, asked?: OnceAsked): Promise<Created | undefined> => {
    const task = asked && (await uses.tasks.createdBefore(owner, { ...asked, prints: uses.bodyPrints(asked.body) }))
    return task && { task, replayed: true }
  }
}

/**
 * Checks everything that can be known at once, then stores the task, which locks the image. The queue is told afterwards, on
 * a best effort and without waiting: the row is its own outbox.
 * @throws what resolveRequest throws, ImageNotExportable, DestinationInvalid, ImageNotFound, ImageNotActive, and what the
 *   store's `create` throws; nothing is stored then
 */
export function createExport(
  uses: ResolveUses & {
    readonly tasks: TaskStore
    readonly queue: ExportQueue
    readonly sealer: Sealer
    readonly bodyPrints: BodyPrints
  }
) {
  return async (viewer: Viewer, requestId: string, body: ExportBody, asked?: OnceAsked): Promise<Created> => {
    // First of all: what the request names may have gone since it was carried out.
    const earlier = await createdBefore(uses)(viewer.owner, asked)
    if (earlier) return earlier
    const once = asked && { ...asked, prints: uses.bodyPrints(asked.body) }

    const id = taskId(randomUUID())
    const exportId = randomUUID()
    const resolved = await resolveRequest(uses, viewer, { task: id, exportId }, body)
    const { request, image, destination, credentials, objectUrl } = resolved
    assertExportable(uses.scrubPolicy, request.imageId, image.facts, viewer.owner)
    destination.check(objectUrl, credentials)

    const outcome = await uses.tasks.create(
      {
        id,
        exportId,
        objectUrl: objectUrl.href,
        owner: viewer.owner,
        userId: viewer.userId,
        requestId,
        request,
        labels: body.labels,
        ...(body.retryOf && { retryOf: body.retryOf }),
        credentials: uses.sealer.seal(id, viewer.owner, { credentials, diskKey: body.diskKey })
      },
      viewer,
      once
    )
    if (outcome.status === 'image_not_found') throw new ImageNotFound(body.imageId)
    if (outcome.status === 'image_not_active') throw new ImageNotActive(body.imageId, outcome.imageStatus)
    if (outcome.status === 'replayed') return { task: outcome.task, replayed: true }
    void uses.queue.ring(outcome.bell)
    return { task: outcome.task, replayed: false }
  }
}
