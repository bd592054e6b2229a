import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { OpenDownload } from '../../temp-urls/downloads.ts'
import type { Claimed } from '../../temp-urls/links.ts'
import type { Servable } from '../../temp-urls/ports.ts'
import type { TempUrls } from '../../temp-urls/temp-urls.ts'
import { byteStream, MEDIA_TYPE } from '../answers/byte-stream.ts'
import { whenGone } from '../answers/client-gone.ts'
import { verdictOn } from '../answers/conditional.ts'
import { contentRange, fileHeaders, validatorsOf } from '../answers/download-headers.ts'
import { docsOf } from '../openapi/route-docs.ts'
import { RequestRefused } from '../requests/request-refused.ts'
import { Bytes, Empty, refusals } from '../schemas/common.ts'
import { FileParams, FileQuery, FileRequestHeaders } from '../schemas/temp-url.ts'

/** A client that takes nothing for so long is cut off. */
const IDLE_MS = 60_000

const docs = docsOf('exports', { security: [] })

const DESCRIPTION = `The URL is the \`export_location\` of a task with \`export_to\` \`tempurl:\`, and all the right that is needed. What
has expired, was revoked or forged, or may not be used from this address, is 404 as what never was. A download that has begun
in time may end. HEAD answers with the headers alone.`

const others = {
  ...refusals(404, 503),
  304: Empty('The client has it already'),
  412: Empty('It is another file than the condition asks for')
}

/** Downloads of exported files by signed URL. */
export function exportRoutes(uses: TempUrls, idleMs = IDLE_MS): FastifyPluginAsyncTypebox {
  return async (app) => {
    const route = {
      url: '/v2/exports/:taskId/:fileName',
      config: { access: 'public' },
      // Whatever is wrong with a URL, the answer is the same.
      validatorCompiler: () => () => true
    } as const
    const request = { params: FileParams, querystring: FileQuery, headers: FileRequestHeaders }

    app.route({
      ...route,
      method: 'GET',
      schema: {
        ...docs('downloadExport', 'Download an exported file, whole or one range of it', DESCRIPTION),
        ...request,
        produces: [MEDIA_TYPE],
        response: { ...others, 200: Bytes('All of it'), 206: Bytes('The range'), 416: Empty('It is shorter') }
      },
      handler: (request, reply) => answer({ uses, idleMs }, request, reply)
    })

    app.route({
      ...route,
      method: 'HEAD',
      schema: {
        ...docs('showExport', 'What a download of the file would be', DESCRIPTION),
        ...request,
        response: { ...others, 200: Empty('The headers of the download') }
      },
      async handler(request, reply) {
        await answer({ uses, idleMs }, request, reply)
      }
    })
  }
}

type Room = { readonly uses: TempUrls; readonly idleMs: number }

async function answer(room: Room, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const { taskId, fileName } = request.params as { taskId: string; fileName: string }
  const tempUrl = await room.uses.find(taskId, claimedBy(request, fileName))
  if (!tempUrl) throw neverWas()
  const { bytes } = tempUrl
  const verdict = verdictOn(request.method, request.headers, validatorsOf(tempUrl), bytes)
  reply.headers(fileHeaders(tempUrl, request.query as object)).code(verdict.status)
  switch (verdict.status) {
    case 304:
    case 412:
      return reply.send(null)
    case 416:
      return reply.header('content-range', `bytes */${bytes}`).send(null)
    case 206:
      reply.header('content-range', contentRange(verdict, bytes))
      return sendRange(room, tempUrl, { status: 206, from: verdict.from, to: verdict.to }, request, reply)
    default:
      return sendRange(room, tempUrl, { status: 200, from: 0, to: bytes }, request, reply)
  }
}

async function sendRange(
  { uses, idleMs }: Room,
  tempUrl: Servable,
  what: { readonly status: number; readonly from: number; readonly to: number },
  request: FastifyRequest,
  reply: FastifyReply
): Promise<FastifyReply> {
  reply.type(MEDIA_TYPE).header('content-length', what.to - what.from)
  if (request.method === 'HEAD') return reply.send(null)
  const gone = whenGone(reply)
  const download = await uses.download(tempUrl, { ...what, client: request.ip }, gone).catch((error: unknown) => {
    withoutFile(reply)
    throw error
  })
  if (!download) {
    withoutFile(reply)
    throw neverWas()
  }
  return stream(reply, download, idleMs)
}

function stream(reply: FastifyReply, download: OpenDownload, idleMs: number): FastifyReply {
  const { raw } = reply
  const body = byteStream(download.bytes)
  const ended = () => download.end(raw.writableFinished)
  raw.once('close', ended)
  if (raw.destroyed) ended() // it has gone while the file was opened
  raw.setTimeout(idleMs, () => raw.destroy())
  return reply.send(body)
}

/** Takes back what was said of a file that cannot be sent. */
function withoutFile(reply: FastifyReply): void {
  for (const name of Object.keys(reply.getHeaders())) {
    if (!KEPT_HEADERS.has(name)) reply.removeHeader(name)
  }
}
const KEPT_HEADERS = new Set(['x-openstack-request-id', 'x-content-type-options'])

/** A parameter that came twice is none. */
function claimedBy({ query, ip }: FastifyRequest, fileName: string): Claimed {
  const parameters = query as Record<string, unknown>
  const text = (name: string) => (typeof parameters[name] === 'string' ? parameters[name] : undefined)
  if (parameters.temp_url_ip_range !== undefined && text('temp_url_ip_range') === undefined) {
    return { fileName, client: ip, signature: undefined, expires: undefined, ipRange: undefined }
  }
  return {
    fileName,
    client: ip,
    signature: text('temp_url_sig'),
    expires: text('temp_url_expires'),
    ipRange: text('temp_url_ip_range')
  }
}

const neverWas = (): RequestRefused => new RequestRefused(404, 'The resource could not be found.')
