import type { FastifyBaseLogger, FastifyReply, FastifyRequest } from 'fastify'
import { describeError } from '../../domain/describe-error.ts'

/** Whatever Fastify itself logs passes these, so that no header, query or body can get into a line. */
export const logSerializers = {
  err: describeError,
  req: (request: FastifyRequest) => ({ method: request.method, path: pathOf(request.url) }),
  res: (reply: FastifyReply) => ({ status: reply.statusCode })
}

/** One line a request, without body, headers and query. */
export function logRequest(log: FastifyBaseLogger, request: FastifyRequest, reply: FastifyReply): void {
  log.info(
    {
      method: request.method,
      path: pathOf(request.url),
      status: reply.statusCode,
      ms: Math.round(reply.elapsedTime),
      ...(request.viewer && { project: request.viewer.owner, user: request.viewer.userId })
    },
    'request'
  )
}

const pathOf = (url: string): string => url.replace(/\?.*$/s, '').slice(0, 200)
