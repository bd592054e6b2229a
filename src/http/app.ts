import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import Fastify, { type FastifyBaseLogger, type FastifyInstance, type FastifyRequest } from 'fastify'
import type { TSchema } from 'typebox'
import { KiB } from '../domain/bytes.ts'
import type { Library } from '../library/library.ts'
import type { TempUrls } from '../temp-urls/temp-urls.ts'
import { guardAccess } from './access/guard.ts'
import type { Identity } from './access/identity.ts'
import { NO_RATE_LIMITS, type RateLimitSettings, rateLimits } from './access/rate-limits.ts'
import { sendError } from './answers/errors.ts'
import { TaskAnswers } from './answers/task-answers.ts'
import { describeApi } from './openapi/describe-api.ts'
import { glanceSchemas } from './openapi/glance-schemas.ts'
import { schemaDocuments } from './openapi/schema-documents.ts'
import { limitBodyTime, readRefusedBody } from './requests/body-limits.ts'
import { answerBrokenRequest } from './requests/broken-request.ts'
import { logRequest, logSerializers } from './requests/logging.ts'
import { answerUnknown } from './requests/method-not-allowed.ts'
import { RequestRefused } from './requests/request-refused.ts'
import { parseStrictJson } from './requests/strict-json.ts'
import { createValidatorCompiler, isOptional } from './requests/validation.ts'
import { type CapabilitiesOf, capabilityRoutes } from './routes/capabilities.ts'
import { exportRoutes } from './routes/exports.ts'
import { healthRoutes } from './routes/health.ts'
import { imageDataRoutes } from './routes/image-data.ts'
import { imageRoutes } from './routes/images.ts'
import { schemaRoutes } from './routes/schemas.ts'
import { taskLifeRoutes } from './routes/task-life.ts'
import { taskListRoutes } from './routes/task-lists.ts'
import { taskRoutes } from './routes/tasks.ts'
import { tempUrlRoutes } from './routes/temp-urls.ts'
import { versionRoutes } from './routes/versions.ts'
import { exportRequestSchemas } from './schemas/export-request.ts'
import { imageRequestSchemas } from './schemas/image.ts'
import type { Health, TaskUses } from './uses.ts'
import type { DefaultSwift } from './wire/rackspace.ts'

export type AppParts = {
  readonly tasks: TaskUses
  readonly tempUrls: TempUrls
  readonly images: Library
  readonly health: Health
  readonly identity: Identity
  /** Where clients reach the service; links come from it, never from a request. */
  readonly publicUrl: () => string
  /** CIDRs of proxies whose X-Forwarded-For is believed; none if left out. */
  readonly trustedProxies?: readonly string[]
  /** For `WWW-Authenticate`: where clients get a token; the public URL if left out. */
  readonly keystoneUri?: () => string
  /** None when left out. */
  readonly rateLimits?: RateLimitSettings
  readonly logger?: FastifyBaseLogger
  /** Names of the formats that can be written. */
  readonly formats: readonly string[]
  /** Names of the disk formats that images may have. */
  readonly diskFormats: readonly string[]
  /** Schemas of the credentials that the destinations take, each with a constant `kind`. */
  readonly credentialSchemas: readonly TSchema[]
  /** The Swift that `receiving_swift_container` means; requests with it are refused if left out. */
  readonly defaultSwift?: DefaultSwift
  readonly capabilities: CapabilitiesOf
  /** For how long a request may wait for news of a task; 60 if left out. */
  readonly waitSeconds?: number
  /** Whether tasks can be deleted; Glance's cannot. */
  readonly deletesTasks?: boolean
}

export const BODY_LIMIT = 64 * KiB

/** The whole API, ready to be injected into or listened with; it never listens by itself. */
export function buildApp(parts: AppParts): FastifyInstance {
  const app = Fastify({
    bodyLimit: BODY_LIMIT,
    rewriteUrl: (request) => withVersion(request.url ?? '/', request.headers.accept),
    // Names of files are the longest parameters, percent-encoded.
    routerOptions: { maxParamLength: 3100 },
    trustProxy: parts.trustedProxies?.length ? [...parts.trustedProxies] : false,
    exposeHeadRoutes: false,
    requestIdHeader: false,
    genReqId: requestId,
    frameworkErrors: (error, request, reply) => {
      reply.header('x-openstack-request-id', request.id)
      sendError(error, request, reply)
    },
    clientErrorHandler: answerBrokenRequest,
    ...(parts.logger && { loggerInstance: parts.logger.child({}, { serializers: logSerializers }) }),
    logController: new Fastify.LogController({ disableRequestLogging: true, requestIdLogLabel: 'requestId' }),
    // An upload may take hours, so a whole request has no limit; its head, its silence and a JSON body have.
    requestTimeout: 0,
    connectionTimeout: 5 * 60_000,
    keepAliveTimeout: 75_000,
    http: { headersTimeout: 10_000, connectionsCheckingInterval: 2_000 }
  }).withTypeProvider<TypeBoxTypeProvider>()

  app.setValidatorCompiler(createValidatorCompiler())
  app.setSerializerCompiler(() => JSON.stringify)
  app.setErrorHandler(sendError)
  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-openstack-request-id', request.id).header('x-content-type-options', 'nosniff')
    if (request.url.includes('%00')) throw new RequestRefused(400, 'The URL holds the character U+0000.')
  })
  guardAccess(app, {
    identity: parts.identity,
    rateLimits: rateLimits(app, parts.rateLimits ?? NO_RATE_LIMITS),
    keystoneUri: parts.keystoneUri ?? parts.publicUrl
  })
  answerUnknown(app)
  app.addHook('onSend', readRefusedBody)
  app.addHook('onResponse', async (request, reply) => logRequest(request.log, request, reply))
  describeApi(app, parts.publicUrl)

  const exportSchemas = exportRequestSchemas(parts.formats, parts.credentialSchemas)
  app.register(async (json) => {
    // Glance reads JSON whatever the Content-Type says, and python-glanceclient says application/octet-stream.
    json.removeAllContentTypeParsers()
    json.addContentTypeParser('*', { parseAs: 'buffer' }, async (request: FastifyRequest, body: Buffer) =>
      body.length === 0 && mayHaveNoBody(request) ? undefined : parseStrictJson(body)
    )
    json.addHook('preParsing', limitBodyTime)
    const { tasks, tempUrls, waitSeconds = 60, deletesTasks: deletes = false } = parts
    const answers = new TaskAnswers({ tasks, tempUrls, waitSeconds })
    json.addHook('preClose', async () => tasks.watch.close()) // or closing would wait for those who wait
    json.register(taskRoutes(tasks, exportSchemas, answers, parts.defaultSwift))
    json.register(taskLifeRoutes(tasks, answers, { credentials: exportSchemas.credentials, deletes }))
    json.register(taskListRoutes(parts.tasks, parts.images, parts.tempUrls))
    json.register(tempUrlRoutes(parts.tempUrls))
    json.register(imageRoutes(parts.images, imageRequestSchemas(parts.diskFormats)))
    json.register(schemaRoutes({ ...glanceSchemas(parts.diskFormats), ...schemaDocuments(exportSchemas) }))
    json.register(capabilityRoutes(parts.capabilities))
    json.register(healthRoutes(parts.health))
    json.register(versionRoutes(parts.publicUrl))
  })
  app.register(exportRoutes(parts.tempUrls))
  app.register(imageDataRoutes(parts.images))
  return app
}

const mayHaveNoBody = ({ method, routeOptions }: FastifyRequest): boolean =>
  method === 'DELETE' || isOptional(routeOptions.schema?.body)

/**
 * Clients may name a minor version of the API, `/v2.0` to `/v2.15`: all of them are `/v2`. As with Glance they may also name
 * the version by its media type, and leave it out of the path.
 */
const withVersion = (url: string, accept = ''): string =>
  /^application\/vnd\.openstack\.images-v2(?:\.\d+)?$/.test(accept) && !/^\/v\d/.test(url)
    ? `/v2${url}`
    : url.replace(/^\/v2\.(?:\d|1[0-5])(?=\/|$|\?)/, '/v2')

/** The request id that comes in, if it is a plain one, so that a call can be followed through several services. */
function requestId(request: IncomingMessage): string {
  const given = request.headers['x-openstack-request-id']
  if (typeof given !== 'string' || !/^(req-)?[A-Za-z0-9-]{1,60}$/.test(given)) return `req-${randomUUID()}`
  return given.startsWith('req-') ? given : `req-${given}`
}
