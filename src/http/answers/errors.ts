import { STATUS_CODES } from 'node:http'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { isDatabaseTrouble } from '../../domain/database-trouble.ts'
import { ExportError } from '../../domain/errors.ts'
import { RequestRefused } from '../requests/request-refused.ts'

/** The only place that knows both error codes and HTTP. A code without a row is a fault of ours: 500. */
const STATUS: ReadonlyMap<string, number> = new Map([
  ['TASK_NOT_FOUND', 404],
  ['TASK_FINISHED', 409],
  ['TASK_NOT_FINISHED', 409],
  ['TASK_STARTED', 409],
  ['TASK_CHANGED', 412],
  ['ALREADY_COMMITTED', 409],
  ['CREDENTIALS_PURGED', 409],
  ['DISK_KEY_PURGED', 409],
  ['RETRY_UNDER_WAY', 409],
  ['MARKER_NOT_FOUND', 400],
  ['IMAGE_NOT_FOUND', 404],
  ['IMAGE_NOT_ACTIVE', 409],
  ['IMAGE_NOT_EXPORTABLE', 403],
  ['IMAGE_EXISTS', 409],
  ['IMAGE_FORBIDDEN', 403],
  ['IMAGE_PROTECTED', 403],
  ['IMAGE_IN_USE', 409],
  ['IMAGE_INCOMPLETE', 400],
  ['IMAGE_FORMAT_FIXED', 403],
  ['IMAGE_FORMAT_UNSUPPORTED', 400],
  ['IMAGE_UNSAFE', 400],
  ['IMAGE_TOO_LARGE', 413],
  ['UPLOAD_CONFLICT', 409],
  ['STORE_FULL', 503],
  ['SOURCE_READ_FAILED', 503],
  ['SOURCE_CHECKSUM_MISMATCH', 503],
  ['SCRUB_INVALID', 400],
  ['SCRUB_REQUIRED', 403],
  ['FORMAT_UNSUPPORTED', 400],
  ['FORMAT_OPTIONS_INVALID', 400],
  ['FORMAT_LIMIT_EXCEEDED', 400],
  ['OPTION_UNSUPPORTED', 400],
  ['KEY_TEMPLATE_INVALID', 400],
  ['TEMP_URL_ABSENT', 409],
  ['DOWNLOADS_BUSY', 503],
  ['STAGING_FULL', 503],
  ['DEST_URL_INVALID', 400],
  ['DEST_SCHEME_DISABLED', 400],
  ['DEST_ADDRESS_FORBIDDEN', 400],
  ['DEST_CREDENTIALS_INVALID', 400],
  ['QUOTA_EXCEEDED', 413],
  ['IDEMPOTENCY_KEY_REUSED', 422],
  ['IDEMPOTENCY_KEY_BUSY', 409],
  ['IDEMPOTENCY_TASK_EXPIRED', 409],
  ['PREFLIGHTS_BUSY', 503]
])

/** Seconds after which it is worth trying again. */
const RETRY_AFTER: ReadonlyMap<string, number> = new Map([
  ['QUOTA_EXCEEDED', 60],
  ['IDEMPOTENCY_KEY_BUSY', 1],
  ['PREFLIGHTS_BUSY', 5]
])

/** Fastify's own refusals, in words that repeat nothing of the request. */
const FRAMEWORK: ReadonlyMap<number, string> = new Map([
  [400, 'The request is malformed.'],
  [413, 'The request body is too large.'],
  [414, 'The URL is too long.'],
  [415, 'The Content-Type is not supported here.']
])

/**
 * The body of every error. What is wrong stands inside `error`, and nothing beside it: python-glanceclient takes every
 * top-level member for an object with a `message`.
 */
type ErrorBody = {
  error: {
    code: number
    title: string
    message: string
    failure_code?: string
    violations?: { pointer: string; message: string }[]
    tasks?: string[]
  }
}

type ErrorAnswer = { readonly headers: Readonly<Record<string, string>>; readonly body: ErrorBody }

function errorAnswer(error: unknown): ErrorAnswer {
  if (error instanceof RequestRefused) return refusal(error)
  if (error instanceof ExportError) return expectedFailure(error)
  if (isDatabaseTrouble(error)) {
    return {
      headers: { 'retry-after': '30' },
      body: errorBody(503, 'The database cannot serve this now. Try again later.')
    }
  }
  const status = frameworkStatus(error)
  return { headers: {}, body: errorBody(status, FRAMEWORK.get(status) ?? 'The request could not be served.') }
}

export const errorBody = (
  status: number,
  message: string,
  more: Omit<ErrorBody['error'], 'code' | 'title' | 'message'> = {}
): ErrorBody => ({ error: { code: status, title: STATUS_CODES[status] ?? 'Error', message, ...more } })

/** Sends any error; what we did not expect is logged and answered without a detail. */
export function sendError(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const { headers, body } = errorAnswer(hasGone(request) ? CLIENT_GONE : error)
  if (body.error.code >= 500) request.log.error({ err: error }, 'request failed')
  return reply.code(body.error.code).headers(headers).type('application/json').send(body)
}

/** Whatever fails because a body broke off is no fault of ours. Nobody reads this answer; the log has its status. */
const CLIENT_GONE = new RequestRefused(400, 'The client went away before it had sent everything.')
const hasGone = ({ raw }: FastifyRequest): boolean => raw.destroyed && raw.complete === false

function refusal(error: RequestRefused): ErrorAnswer {
  const violations = error.violations.map(({ pointer, message }) => ({ pointer, message }))
  const more = violations.length > 0 ? { violations } : {}
  return { headers: error.headers, body: errorBody(error.status, error.message, more) }
}

function expectedFailure(error: ExportError): ErrorAnswer {
  const status = STATUS.get(error.code)
  if (status === undefined) return { headers: {}, body: errorBody(500, 'The request could not be served.') }
  const seconds = RETRY_AFTER.get(error.code) ?? (status === 503 ? 30 : undefined)
  return {
    headers: seconds === undefined ? {} : { 'retry-after': String(seconds) },
    body: errorBody(status, error.message, {
      failure_code: error.code,
      ...('pointer' in error &&
        typeof error.pointer === 'string' && { violations: [{ pointer: error.pointer, message: error.message }] }),
      ...('tasks' in error && Array.isArray(error.tasks) && { tasks: error.tasks.map(String) })
    })
  }
}

function frameworkStatus(error: unknown): number {
  const { code, statusCode } = Object(error) as Partial<FastifyError>
  return code?.startsWith('FST_') && statusCode !== undefined && statusCode < 500 ? statusCode : 500
}
