import { randomUUID } from 'node:crypto'
import type { UploadTarget } from '../destination.ts'
import { failure } from '../failures.ts'
import { SFTP_STATUS, statusOf } from './failures.ts'
import { readPlace, within } from './place.ts'
import { fsync, look, remove, withFile, write } from './remote-file.ts'
import { rename } from './rename.ts'
import type { SftpSession } from './session.ts'

const PIECE = Buffer.from('probe\n')

/**
 * Writes a tiny file as an export is written, renames it as an export is, and removes it: what the server does not do is known
 * before anything is sent.
 */
export async function probeWriting(session: SftpSession, target: UploadTarget): Promise<undefined> {
  const { folder, path: object } = readPlace(target.url)
  const { replace } = target.object
  const renamed = within(folder, `.probe-${randomUUID()}`)
  let path = within(folder, `.probe-${randomUUID()}`)
  await withFile(session, path, 'wx', (handle) => fsync(session, handle))
  try {
    await writeBackwards(session, path)
    const replaces = await rename(session, path, renamed, replace)
    path = renamed
    if (replace && !replaces && (await look(session, object))) throw failure('notReplaced', session.host)
  } finally {
    if (!session.ended) await remove(session, path)
  }
}

/**
 * The last piece first. Some servers take a file from its beginning to its end only, as they hand it on to a store that knows
 * nothing else.
 */
async function writeBackwards(session: SftpSession, path: string): Promise<void> {
  try {
    await withFile(session, path, 'r+', async (handle) => {
      await write(session, handle, PIECE.length, piece())
      await write(session, handle, 0, piece())
    })
  } catch (cause) {
    const status = statusOf(cause)
    if (status !== SFTP_STATUS.failure && status !== SFTP_STATUS.unsupported) throw cause
    throw failure('onlyInOrder', session.host, { cause })
  }
}

async function* piece() {
  yield PIECE
}
