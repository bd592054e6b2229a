import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import type { TSchema } from 'typebox'
import { TaskChanged } from '../../domain/task-errors.ts'
import { timeOf } from '../../domain/time.ts'
import type { TaskPatch as Patch } from '../../export/requests/change-task.ts'
import { viewerOf } from '../access/guard.ts'
import { requireRole } from '../access/policy.ts'
import type { TaskAnswers } from '../answers/task-answers.ts'
import { docsOf } from '../openapi/route-docs.ts'
import { onceOf } from '../requests/idempotency-key.ts'
import { invalidRequest, RequestRefused } from '../requests/request-refused.ts'
import { withRequestToken } from '../requests/request-token.ts'
import { withHeaders } from '../schemas/answer-headers.ts'
import { Empty, errorAnswers, errorAnswersToJson } from '../schemas/common.ts'
import { TaskAnswer } from '../schemas/task.ts'
import { CancelRequest, IfMatchHeaders, retryRequest, TaskPatch } from '../schemas/task-life.ts'
import type { TaskUses } from '../uses.ts'
import { knownTaskId, TaskParams } from './ids.ts'
import { CREATED_HEADERS, CreateHeaders } from './tasks.ts'

const docs = docsOf('tasks', {})
const MERGE_PATCH = 'application/merge-patch+json'

const CANCEL = `A task that waits ends at once. A running one shows the phase \`canceling\`, stops within about a second, removes what
it has sent, and ends then; \`cleanup\` says what became of that. Its status is then \`failure\`, with the code \`CANCELED_BY_USER\`
or, where an admin of another project wanted it, \`CANCELED_BY_OPERATOR\`. Once this was answered with 202 the task does not succeed
any more; once it is being completed at the destination the answer is 409 \`ALREADY_COMMITTED\`. Repeating it is no error.`

const RETRY = `Makes a new task of a failed one: the same request, but its deadline, and a new object; \`retry_of\` names the old one.
Credentials and a disk key were wiped when that ended, so they have to come again if it had any. One retry at a time.`

const PATCH = `Labels can always be changed, \`priority\` while the task waits, \`limits\` until it has ended, and \`expires_at\` after
that. A new bandwidth holds within about a second.`

const DELETE = `Forgets a task that has ended, with its temporary URL; an object that was written elsewhere stays. Where the operator
has not turned this on, the answer is 405, as Glance's.`

export type LifeSettings = {
  /** Of `export_to_credentials`. */
  readonly credentials: TSchema
  /** Whether tasks can be deleted. */
  readonly deletes: boolean
}

/** What can be done to a task while it lives, and after. */
export function taskLifeRoutes(
  uses: TaskUses,
  answers: TaskAnswers,
  { credentials, deletes }: LifeSettings
): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.post(
      '/v2/tasks/:taskId/cancel',
      {
        schema: {
          ...docs('cancelTask', 'Cancel a task', CANCEL),
          params: TaskParams,
          body: CancelRequest,
          response: { ...errorAnswersToJson(404, 409), 202: withHeaders(TaskAnswer, 'etag') }
        }
      },
      async (request, reply) => {
        const body: CancelRequest = request.body
        const id = knownTaskId(request.params.taskId)
        return answers.send(reply, 202, await uses.cancelTask(viewerOf(request), id, body?.reason ?? null))
      }
    )

    app.post(
      '/v2/tasks/:taskId/retry',
      {
        schema: {
          ...docs('retryTask', 'Try a failed task again', RETRY),
          params: TaskParams,
          headers: CreateHeaders,
          body: retryRequest(credentials),
          response: { ...errorAnswersToJson(404, 409, 422), 201: withHeaders(TaskAnswer, ...CREATED_HEADERS) }
        }
      },
      async (request, reply) => {
        const id = knownTaskId(request.params.taskId)
        const given = request.body?.export_to_credentials
        const { credentials } = withRequestToken(given ? { credentials: given } : {}, request.headers['x-auth-token'])
        const secrets = { credentials, diskKey: request.body?.scrub?.disk_key }
        const { task, replayed } = await uses.retryExport(viewerOf(request), request.id, id, secrets, onceOf(request))
        if (replayed) reply.header('idempotent-replayed', 'true')
        return answers.created(request, reply, task)
      }
    )

    app.patch(
      '/v2/tasks/:taskId',
      {
        schema: {
          ...docs('updateTask', 'Change what can be changed of a task', PATCH),
          consumes: ['application/json', MERGE_PATCH],
          params: TaskParams,
          headers: IfMatchHeaders,
          body: TaskPatch,
          response: { ...errorAnswersToJson(404, 409, 412, 415), 200: withHeaders(TaskAnswer, 'etag') }
        }
      },
      async (request, reply) => {
        requireMergePatch(request)
        const viewer = viewerOf(request)
        const id = knownTaskId(request.params.taskId)
        const patch = patchOf(request.body)
        if (patch.priority === 'high') requireRole(viewer, 'priority:high')
        const { ok, version } = await answers.matched(request, id)
        if (!ok) throw new TaskChanged()
        return answers.send(reply, 200, await uses.changeTask(viewer, id, patch, version))
      }
    )

    if (!deletes) return
    app.delete(
      '/v2/tasks/:taskId',
      {
        schema: {
          ...docs('deleteTask', 'Forget a task that has ended', DELETE),
          params: TaskParams,
          response: { ...errorAnswers(404, 409), 204: Empty('Forgotten') }
        }
      },
      async (request, reply) => {
        await uses.removeTask(viewerOf(request), knownTaskId(request.params.taskId))
        return reply.code(204).send(null)
      }
    )
  }
}

function patchOf({ expires_at: text, ...patch }: TaskPatch): Patch {
  if (text === undefined) return patch
  const expiresAt = timeOf(text)
  if (!expiresAt) throw invalidRequest([{ pointer: '/expires_at', message: 'is not a time that exists' }])
  return { ...patch, expires_at: expiresAt }
}

function requireMergePatch({ headers }: FastifyRequest): void {
  const type = headers['content-type']?.split(';')[0]?.trim().toLowerCase()
  if (type === undefined || type === 'application/json' || type === MERGE_PATCH) return
  throw new RequestRefused(415, `The Content-Type must be application/json or ${MERGE_PATCH}.`, {
    headers: { 'accept-patch': MERGE_PATCH }
  })
}
