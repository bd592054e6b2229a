import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import type { ExportBody } from '../../export/requests/resolve-request.ts'
import { viewerOf } from '../access/guard.ts'
import { requireRole } from '../access/policy.ts'
import type { TaskAnswers } from '../answers/task-answers.ts'
import { docsOf } from '../openapi/route-docs.ts'
import { onceOf } from '../requests/idempotency-key.ts'
import { invalidRequest } from '../requests/request-refused.ts'
import { withRequestToken } from '../requests/request-token.ts'
import { withHeaders } from '../schemas/answer-headers.ts'
import { Empty, errorAnswers, errorAnswersToJson } from '../schemas/common.ts'
import type { ExportSchemas, TaskBody } from '../schemas/export-request.ts'
import { PreflightAnswer } from '../schemas/preflight.ts'
import { TaskAnswer } from '../schemas/task.ts'
import { ShowHeaders, WaitHeaders } from '../schemas/task-life.ts'
import type { TaskUses } from '../uses.ts'
import { toPreflight } from '../wire/options.ts'
import type { DefaultSwift } from '../wire/rackspace.ts'
import { fromFlat, fromWire, wantsDryRun } from '../wire/task.ts'
import { ImageParams, knownImageId, knownTaskId, TaskParams } from './ids.ts'

const docs = docsOf('tasks', {})

/** Of an answer that has made a task. */
export const CREATED_HEADERS = ['location', 'etag', 'preference-applied', 'idempotent-replayed'] as const

const created = {
  ...errorAnswersToJson(404, 409, 422),
  200: PreflightAnswer,
  201: withHeaders(TaskAnswer, ...CREATED_HEADERS)
}

export const CreateHeaders = Type.Object({
  ...WaitHeaders.properties,
  'idempotency-key': Type.Optional(
    Type.String({
      description:
        'Sent again with the same body, the request makes no second task: the answer is 201 with the first one and Idempotent-Replayed: true. With another body it is 422'
    })
  )
})

const CREATE = `Answers as soon as the task is stored; \`Location\` is where to poll it. From now on until the task has ended the
image cannot be deleted. What can be checked at once is refused here, what can change later ends in a failure of the task. With
\`dry_run\` no task is made: the answer is 200 and the same as that of \`POST /v2/tasks/preflight\`.`

const PREFLIGHT = `Takes the body of an export and makes the checks that its task would make first, in at most 30 seconds. Nothing is
stored, nothing is locked, and what the checks write at the destination they remove.`

const SHOW = `Every answer has an \`ETag\`, and while the task goes on \`Retry-After\`. With \`If-None-Match\` and \`Prefer: wait=N\` the answer
comes as soon as the task has changed, or is 304 after N seconds: progress is news about once a second.`

/** Glance-tasks-export: "Initial Export Request", its alternative, and "Polling for Export Status". */
export function taskRoutes(
  uses: TaskUses,
  schemas: ExportSchemas,
  answers: TaskAnswers,
  swift?: DefaultSwift
): FastifyPluginAsyncTypebox {
  /** The new task, or what is to be expected of it. */
  const answer = async (request: FastifyRequest, reply: FastifyReply, given: ExportBody, dryRun: boolean) => {
    const viewer = viewerOf(request)
    const body = withRequestToken(given, request.headers['x-auth-token'])
    if (body.labels.priority === 'high') requireRole(viewer, 'priority:high')
    if (dryRun) return reply.code(200).send(toPreflight(await uses.preflightExport(viewer, body)))
    const { task, replayed } = await uses.createExport(viewer, request.id, body, onceOf(request))
    if (replayed) reply.header('idempotent-replayed', 'true')
    return answers.created(request, reply, task)
  }

  const asked = (request: FastifyRequest, body: TaskBody) => fromWire(body, viewerOf(request).owner, swift)

  return async (app) => {
    app.post(
      '/v2/tasks',
      {
        schema: {
          ...docs('createTask', 'Export an image', CREATE),
          headers: CreateHeaders,
          body: schemas.task,
          response: created
        }
      },
      (request, reply) => answer(request, reply, asked(request, request.body), wantsDryRun(request.body))
    )

    app.post(
      '/v2/tasks/preflight',
      {
        schema: {
          ...docs('preflightTask', 'Tell whether an export would work', PREFLIGHT),
          body: schemas.task,
          response: { ...errorAnswersToJson(404), 200: PreflightAnswer }
        }
      },
      (request, reply) => answer(request, reply, asked(request, request.body), true)
    )

    app.post(
      '/v2/images/:imageId/export',
      {
        schema: {
          ...docs('exportImage', 'Export the image of the path', CREATE),
          params: ImageParams,
          headers: CreateHeaders,
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
        schema: {
          ...docs('showTask', 'Show one task, now or when there is news', SHOW),
          params: TaskParams,
          headers: ShowHeaders,
          response: {
            ...errorAnswers(404),
            200: withHeaders(TaskAnswer, 'etag', 'retry-after', 'x-export-percent', 'preference-applied'),
            304: withHeaders(Empty('Nothing has changed'), 'etag', 'retry-after')
          }
        }
      },
      async (request, reply) => answers.show(request, reply, knownTaskId(request.params.taskId))
    )
  }
}
