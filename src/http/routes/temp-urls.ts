import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Download } from '../../temp-urls/ports.ts'
import type { TempUrls } from '../../temp-urls/temp-urls.ts'
import { viewerOf } from '../access/guard.ts'
import { docsOf } from '../openapi/route-docs.ts'
import { Empty, errorAnswers, errorAnswersToJson } from '../schemas/common.ts'
import { DownloadList, TempUrlAnswer, TempUrlRequest } from '../schemas/temp-url.ts'
import { toWireTime } from '../wire/time.ts'
import { knownTaskId, TaskParams } from './ids.ts'

const docs = docsOf('exports', {})

const ISSUE = `Gives the file more time, and its task with it, or makes a URL for somebody else. URLs that were given out before stay
good until their own end, unless \`revoke_earlier\` is true: then they are void at once, and the time may also become shorter.`

const REVOKE = `Every URL of the task is void at once and for good, also for downloads under way, and the image can be deleted again.
Repeating it is no error.`

/** What the owner of a task can do about its temporary URL. */
export function tempUrlRoutes(uses: TempUrls): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.post(
      '/v2/tasks/:taskId/temp_url',
      {
        schema: {
          ...docs('issueTempUrl', 'Extend the temporary URL of a task, or make another', ISSUE),
          params: TaskParams,
          body: TempUrlRequest,
          response: { ...errorAnswersToJson(404, 409), 200: TempUrlAnswer }
        }
      },
      async (request) => {
        const id = knownTaskId(request.params.taskId)
        const { url, until, ipRange } = await uses.issue(viewerOf(request), id, request.body)
        return { export_location: url, expires_at: toWireTime(until), ip_range: ipRange }
      }
    )

    app.delete(
      '/v2/tasks/:taskId/temp_url',
      {
        schema: {
          ...docs('revokeTempUrl', 'Revoke the temporary URL of a task', REVOKE),
          params: TaskParams,
          response: { ...errorAnswers(404, 409), 204: Empty('Revoked') }
        }
      },
      async (request, reply) => {
        await uses.revoke(viewerOf(request), knownTaskId(request.params.taskId))
        return reply.code(204).send(null)
      }
    )

    app.get(
      '/v2/tasks/:taskId/downloads',
      {
        schema: {
          ...docs('listDownloads', "List the downloads of a task's file, the newest first"),
          params: TaskParams,
          response: { ...errorAnswers(404, 409), 200: DownloadList }
        }
      },
      async (request) => {
        const downloads = await uses.downloads(viewerOf(request), knownTaskId(request.params.taskId))
        return { downloads: downloads.map(toWireDownload) }
      }
    )
  }
}

const toWireDownload = (download: Download): DownloadList['downloads'][number] => ({
  started_at: toWireTime(download.startedAt),
  finished_at: download.finishedAt && toWireTime(download.finishedAt),
  client: download.client,
  status: download.status,
  range: { from: download.from, to: download.to },
  bytes_sent: download.bytesSent,
  complete: download.complete
})
