import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { TaskNotFound } from '../../domain/errors.ts'
import { isUuid, type TaskId, taskId } from '../../domain/ids.ts'
import type { ExportBody } from '../../export/resolve-request.ts'
import type { TempUrls } from '../../temp-urls/temp-urls.ts'
import { viewerOf } from '../access.ts'
import { toPreflight } from '../options-wire.ts'
import { invalidRequest } from '../request-refused.ts'
import { withRequestToken } from '../request-token.ts'
import { docsOf } from '../route-docs.ts'
import { errorAnswers } from '../schemas/common.ts'
import type { ExportSchemas } from '../schemas/export-request.ts'
import { PreflightAnswer } from '../schemas/preflight.ts'
import { TaskAnswer } from '../schemas/task.ts'
import type { TaskUses } from '../uses.ts'
import { fromFlat, fromWire, toWire, wantsDryRun } from '../wire.ts'
import { ImageParams, knownImageId } from './images.ts'

const docs = docsOf('tasks', {})

export const TaskParams = Type.Object({ taskId: Type.String({ description: 'Id of the task' }) })

const created = { ...errorAnswers(400, 404, 409, 413), 200: PreflightAnswer, 201: TaskAnswer }

const CREATE = `Answers as soon as the task is stored; \`Location\` is where to poll it. From now on until the task has ended the
image cannot be deleted. What can be checked at once is refused here, what can change later ends in a failure of the task. With
\`dry_run\` no task is made: the answer is 200 and the same as that of \`POST /v2/tasks/preflight\`.`

const PREFLIGHT = `Takes the body of an export and makes the checks that its task would make first, in at most 30 seconds. Nothing is
stored, nothing is locked, and what the checks write at the destination they remove.`

/** Glance-tasks-export: "Initial Export Request", its alternative, and "Polling for Export Status". */
export function taskRoutes(
  uses: TaskUses,
  schemas: ExportSchemas,
  tempUrls: Pick<TempUrls, 'links'>
): FastifyPluginAsyncTypebox {
  /** The new task, or what is to be expected of it. */
  const answer = async (request: FastifyRequest, reply: FastifyReply, asked: ExportBody, dryRun: boolean) => {
    const viewer = viewerOf(request)
    const body = withRequestToken(asked, request.headers['x-auth-token'])
    if (dryRun) return reply.code(200).send(toPreflight(await uses.preflightExport(viewer, body)))
    const task = await uses.createExport(viewer, request.id, body)
    return reply.code(201).header('location', `/v2/tasks/${task.id}`).send(toWire(task))
  }

  return async (app) => {
    app.post(
      '/v2/tasks',
      {
        config: { access: 'write' },
        schema: { ...docs('createTask', 'Export an image', CREATE), body: schemas.task, response: created }
      },
      (request, reply) => answer(request, reply, fromWire(request.body), wantsDryRun(request.body))
    )

    app.post(
      '/v2/tasks/preflight',
      {
        config: { access: 'write' },
        schema: {
          ...docs('preflightTask', 'Tell whether an export would work', PREFLIGHT),
          body: schemas.task,
          response: { ...errorAnswers(400, 404), 200: PreflightAnswer }
        }
      },
      (request, reply) => answer(request, reply, fromWire(request.body), true)
    )

    app.post(
      '/v2/images/:imageId/export',
      {
        config: { access: 'write' },
        schema: {
          ...docs('exportImage', 'Export the image of the path', CREATE),
          params: ImageParams,
          body: schemas.ofImage,
          response: created
        }
      },
      async (request, reply) => {
        const image = knownImageId(request.params.imageId)
        const { image_uuid = image } = request.body
        if (image_uuid !== image) {
          throw invalidRequest([{ pointer: '/image_uuid', message: 'is another image than that of the path' }])
        }
        const body = fromFlat({ ...request.body, image_uuid })
        return answer(request, reply, body, request.body.dry_run === true)
      }
    )

    app.get(
      '/v2/tasks/:taskId',
      {
        config: { access: 'read' },
        schema: {
          ...docs('showTask', 'Show one task'),
          params: TaskParams,
          response: { ...errorAnswers(404), 200: TaskAnswer }
        }
      },
      async (request) => {
        const task = await uses.getTask(viewerOf(request), knownTaskId(request.params.taskId))
        return toWire(task, (await tempUrls.links([task])).get(task.id))
      }
    )
  }
}

/** Any other text is the id of nothing: the same answer as for an unknown id. */
export function knownTaskId(text: string): TaskId {
  if (!isUuid(text)) throw new TaskNotFound(text)
  return taskId(text)
}
