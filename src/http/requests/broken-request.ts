import type { Socket } from 'node:net'
import { errorBody } from '../answers/errors.ts'

/** Node's parser could not read a request: there is no request to hang an answer on, so it is written by hand. */
export function answerBrokenRequest(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const { status, message } = REASONS.get(error.code) ?? { status: 400, message: 'The request is malformed.' }
  const body = JSON.stringify(errorBody(status, message))
  socket.end(
    `HTTP/1.1 ${status} ${JSON.parse(body).error.title}\r\ncontent-type: application/json\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`
  )
}

const REASONS: ReadonlyMap<string | undefined, { status: number; message: string }> = new Map([
  ['HPE_HEADER_OVERFLOW', { status: 431, message: 'The headers are too large.' }],
  ['ERR_HTTP_REQUEST_TIMEOUT', { status: 408, message: 'The request did not arrive in time.' }]
])
