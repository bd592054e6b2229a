import { type ByteSource, MiB } from '../../domain/bytes.ts'
import { DestinationError } from '../../domain/destination-errors.ts'
import { failure } from '../failures.ts'
import { SFTP_STATUS, statusOf } from './failures.ts'
import type { SftpSession } from './session.ts'

/** On the way for one part: what OpenSSH lets a client have there. */
const WINDOW_BYTES = 2 * MiB
/** For the user who logged in alone. */
const MODE = 0o600

/** Runs `work` with an open file and closes it. `flags` as in fopen(3); `wx` makes a file that is not there yet. */
export async function withFile<T>(
  session: SftpSession,
  path: string,
  flags: 'r' | 'r+' | 'wx',
  work: (handle: Buffer) => Promise<T>
): Promise<T> {
  const handle = await session.request<Buffer>((sftp, done) => sftp.open(path, flags, { mode: MODE }, done))
  const close = () => session.request<void>((sftp, done) => sftp.close(handle, done))
  let result: T
  try {
    result = await work(handle)
  } catch (error) {
    await close().catch(() => {}) // what went wrong before says more
    throw error
  }
  await close()
  return result
}

type Sent = { readonly buffer: Buffer; readonly written: Promise<void> }

/** Writes what `body` gives from `offset` on, and returns when the server has taken all of it. */
export async function write(session: SftpSession, handle: Buffer, offset: number, body: ByteSource): Promise<void> {
  const { packetBytes } = session
  const most = Math.floor(WINDOW_BYTES / packetBytes)
  const waiting: Sent[] = []
  try {
    let at = offset
    for await (const chunk of body) {
      for (let from = 0; from < chunk.length; from += packetBytes) {
        const buffer = waiting.length < most ? Buffer.allocUnsafeSlow(packetBytes) : await oldest(waiting)
        const packet = chunk.subarray(from, from + packetBytes)
        buffer.set(packet) // a copy: the chunk is the source's again when it is asked for the next
        waiting.push({ buffer, written: send(session, handle, buffer, packet.length, at + from) })
      }
      at += chunk.length
    }
    while (waiting.length > 0) await oldest(waiting)
  } finally {
    await Promise.allSettled(waiting.map(({ written }) => written)) // nothing may arrive when the part is sent again
  }
}

/** Waits for the request that was sent first. @returns its buffer, which nobody uses any more */
async function oldest(waiting: Sent[]): Promise<Buffer> {
  const first = waiting.shift()
  if (first === undefined) throw new Error('nothing is under way')
  await first.written
  return first.buffer
}

function send(session: SftpSession, handle: Buffer, bytes: Buffer, length: number, position: number): Promise<void> {
  const written = session.request<void>((sftp, done) => sftp.write(handle, bytes, 0, length, position, done))
  written.catch(() => {}) // whoever waits for it may be busy with another that failed
  return written
}

/** The bytes [from, to) of a file. The caller ends the session. */
export async function* readFile(session: SftpSession, path: string, from: number, to: number): ByteSource {
  const handle = await session.request<Buffer>((sftp, done) => sftp.open(path, 'r', done))
  const { packetBytes } = session
  const most = Math.floor(WINDOW_BYTES / packetBytes)
  const waiting: Promise<Buffer>[] = []
  try {
    for (let at = from; at < to || waiting.length > 0; ) {
      for (; at < to && waiting.length < most; at += packetBytes) {
        const chunk = readExactly(session, handle, at, Math.min(packetBytes, to - at))
        chunk.catch(() => {})
        waiting.push(chunk)
      }
      const next = await waiting.shift()
      if (next) yield next
    }
  } finally {
    await Promise.allSettled(waiting)
  }
}

/** A server may give fewer bytes than it was asked for. */
async function readExactly(session: SftpSession, handle: Buffer, at: number, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(length)
  for (let done = 0; done < length; ) {
    const got = await session.request<number>((sftp, answered) =>
      sftp.read(handle, bytes, done, length - done, at + done, answered)
    )
    if (got === 0) throw failure('lengthDiffers', session.host)
    done += got
  }
  return bytes
}

/** What is there; undefined when nothing is. */
export async function look(
  session: SftpSession,
  path: string
): Promise<{ readonly size: number; readonly folder: boolean } | undefined> {
  try {
    return await session.request((sftp, done) =>
      sftp.stat(path, (error, stats) => done(error, stats && { size: stats.size, folder: stats.isDirectory() }))
    )
  } catch (error) {
    if (statusOf(error) === SFTP_STATUS.noSuchFile) return undefined
    throw error
  }
}

/** @returns whether there was such a file */
export async function remove(session: SftpSession, path: string): Promise<boolean> {
  try {
    await session.request<void>((sftp, done) => sftp.unlink(path, done))
    return true
  } catch (error) {
    if (statusOf(error) === SFTP_STATUS.noSuchFile) return false
    throw error
  }
}

/** The names in a folder; none where there is no such folder, or it cannot be listed. */
export async function* names(session: SftpSession, folder: string): AsyncGenerator<string> {
  try {
    const handle = await session.request<Buffer>((sftp, done) => sftp.opendir(folder, done))
    try {
      for (;;) {
        const entries = await session.request<readonly { filename: string }[]>((sftp, done) =>
          sftp.readdir(handle, done)
        )
        for (const { filename } of entries) yield filename
      }
    } finally {
      if (!session.ended) await session.request<void>((sftp, done) => sftp.close(handle, done))
    }
  } catch (error) {
    // Any status: the list is at its end, or the server will not give one.
    if (statusOf(error) === undefined) throw error
  }
}

/**
 * Returns when what was written to an open file is on the server's disk.
 * @returns false when the server has no word for that; then it decides itself when its disk has it
 */
export async function fsync(session: SftpSession, handle: Buffer): Promise<boolean> {
  try {
    await session.request<void>((sftp, done) => sftp.ext_openssh_fsync(handle, done))
    return true
  } catch (error) {
    if (!isUnsupported(error)) throw error
    return false
  }
}

/** Said by ssh2, which knows the server's extensions, or by the server. */
export function isUnsupported(error: unknown): boolean {
  const status = statusOf(error)
  const said = status === undefined || status === SFTP_STATUS.unsupported
  return said && error instanceof DestinationError && error.code === 'DEST_REJECTED'
}

/** Bytes that a file in this folder can still take; undefined where the server does not say. */
export async function freeBytes(session: SftpSession, folder: string): Promise<number | undefined> {
  try {
    const { f_frsize, f_bavail } = await session.request<{ f_frsize: number; f_bavail: number }>((sftp, done) =>
      sftp.ext_openssh_statvfs(folder, done)
    )
    return f_frsize * f_bavail
  } catch (error) {
    if (session.ended) throw error
    return undefined
  }
}
