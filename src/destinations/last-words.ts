import type { Socket } from 'node:net'

/** Longer than it takes to read what had arrived before a reset. */
const LAST_WORDS_MS = 100

/**
 * A server may refuse an upload early: it answers and resets the connection. Node drops what has arrived as soon as a write
 * fails, and the answer with it. So a write that failed because of a reset is reported a moment later, when all was read.
 */
export function reportResetsLate(socket: Socket): void {
  const late = (callback: WriteCallback) => (error?: Error | null) => {
    if (isReset(error)) setTimeout(callback, LAST_WORDS_MS, error)
    else callback(error)
  }
  const { _write: write, _writev: writev } = socket
  socket._write = (chunk, encoding, callback) => write.call(socket, chunk, encoding, late(callback))
  socket._writev = (chunks, callback) => writev?.call(socket, chunks, late(callback))
}

type WriteCallback = (error?: Error | null) => void

const isReset = (error: Error | null | undefined): boolean =>
  error instanceof Error && 'code' in error && (error.code === 'EPIPE' || error.code === 'ECONNRESET')
