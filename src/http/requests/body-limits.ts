import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { MiB } from '../../domain/bytes.ts'

const JSON_BODY_MS = 30_000
const REFUSED_BODY_BYTES = 16 * MiB
const REFUSED_BODY_MS = 5_000

/** A JSON body that is not here after half a minute will not come: the connection is closed. */
export async function limitBodyTime(request: FastifyRequest): Promise<void> {
  if (!hasBody(request)) return
  const timer = setTimeout(() => request.raw.destroy(), JSON_BODY_MS).unref()
  request.raw.once('close', () => clearTimeout(timer)).once('end', () => clearTimeout(timer))
}

/**
 * Before an answer to a body that was not read to its end: reads on a little, since a client that is still sending loses an
 * answer followed by a reset. What is longer gets the answer and then a closed connection.
 */
export async function readRefusedBody(request: FastifyRequest, reply: FastifyReply): Promise<void> {
  const { raw } = request
  if (!hasBody(request) || raw.readableEnded || raw.destroyed) return
  await Promise.race([discard(request), sleep(REFUSED_BODY_MS, undefined, { ref: false })])
  if (!raw.readableEnded) reply.header('connection', 'close')
}

async function discard({ raw }: FastifyRequest): Promise<void> {
  let read = 0
  try {
    for await (const chunk of raw.iterator({ destroyOnReturn: false })) {
      read += chunk.length
      if (read > REFUSED_BODY_BYTES) return
    }
  } catch {
    // the client has gone: nobody is left to answer
  }
}

const hasBody = ({ headers }: FastifyRequest): boolean =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
