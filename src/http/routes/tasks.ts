import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { TaskNotFound } from '../../domain/errors.ts'
import { imageId, isUuid, type TaskId, taskId } from '../../domain/ids.ts'
import type { TaskStatus } from '../../domain/task.ts'
import type { TaskQuery } from '../../export/ports.ts'
import { viewerOf } from '../access.ts'
import { page } from '../paging.ts'
import { invalidRequest } from '../request-refused.ts'
import { docsOf } from '../route-docs.ts'
import { errorAnswers } from '../schemas/common.ts'
import type { ExportSchemas } from '../schemas/export-request.ts'
import { TaskAnswer, TaskList, TaskListQuery } from '../schemas/task.ts'
import type { TaskUses } from '../uses.ts'
import { exactStatus, fromFlat, fromWire, statusesOf, toListed, toWire } from '../wire.ts'
import { ImageParams, knownImageId } from './images.ts'

const docs = docsOf('tasks', {})

const TaskParams = Type.Object({ taskId: Type.String({ description: 'Id of the task' }) })

const created = { ...errorAnswers(400, 404, 409, 413), 201: TaskAnswer }

const CREATE = `Answers as soon as the task is stored; \`Location\` is where to poll it. From now on until the task has ended the
image cannot be deleted. What can be checked at once is refused here, what can change later ends in a failure of the task.`

/** Glance-tasks-export: "Initial Export Request", its alternative, and "Polling for Export Status". */
export function taskRoutes(uses: TaskUses, schemas: ExportSchemas): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.post(
      '/v2/tasks',
      {
        config: { access: 'write' },
        schema: { ...docs('createTask', 'Export an image', CREATE), body: schemas.task, response: created }
      },
      async (request, reply) => {
        const task = await uses.createExport(viewerOf(request), request.id, fromWire(request.body))
        return reply.code(201).header('location', `/v2/tasks/${task.id}`).send(toWire(task))
      }
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
        const task = await uses.createExport(viewerOf(request), request.id, body)
        return reply.code(201).header('location', `/v2/tasks/${task.id}`).send(toWire(task))
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
      async (request) => toWire(await uses.getTask(viewerOf(request), knownTaskId(request.params.taskId)))
    )

    app.get(
      '/v2/tasks',
      {
        config: { access: 'read' },
        schema: {
          ...docs('listTasks', 'List tasks, newest first'),
          querystring: TaskListQuery,
          response: { ...errorAnswers(400), 200: TaskList }
        }
      },
      async (request) => {
        const { entries, links } = await page('/v2/tasks', request.query, (limit) =>
          uses.listTasks(viewerOf(request), { ...taskQuery(request.query), limit })
        )
        return { tasks: entries.map(toListed), ...links, schema: '/v2/schemas/tasks' }
      }
    )
  }
}

function taskQuery(query: TaskListQuery): Omit<TaskQuery, 'limit'> {
  const statuses = wantedStatuses(query)
  const image = query.image_id ?? query.image_uuid
  return {
    sortKey: query.sort_key ?? 'created_at',
    sortDir: query.sort_dir ?? 'desc',
    ...(query.marker !== undefined && { marker: taskId(query.marker) }),
    ...(statuses && { statuses }),
    ...(image !== undefined && { imageId: imageId(image) })
  }
}

/** Both filters together mean both. */
function wantedStatuses({ status, task_status }: TaskListQuery): readonly TaskStatus[] | undefined {
  const glance = status === undefined ? undefined : statusesOf(status)
  const exact = task_status === undefined ? undefined : exactStatus(task_status)
  return glance && exact ? exact.filter((one) => glance.includes(one)) : (glance ?? exact)
}

/** Any other text is the id of nothing: the same answer as for an unknown id. */
function knownTaskId(text: string): TaskId {
  if (!isUuid(text)) throw new TaskNotFound(text)
  return taskId(text)
}
