import { randomUUID } from 'node:crypto'
import type { UploadTarget } from '../destination.ts'
import { failure } from '../failures.ts'
import { SFTP_STATUS, statusOf } from './failures.ts'
import { readPlace, within } from './place.ts'
import { fsync, remove, withFile, write } from './remote-file.ts'
import type { SftpSession } from './session.ts'

const PIECE = Buffer.from('probe\n')

/**
 * Writes a tiny file as an export is written, its last piece first, and removes it. Some servers take a file from its beginning
 * to its end only, as they hand it on to a store that knows nothing else.
 */
export async function probeWriting(session: SftpSession, target: UploadTarget): Promise<undefined> {
  const path = within(readPlace(target.url).folder, `.probe-${randomUUID()}`)
  await withFile(session, path, 'wx', (handle) => fsync(session, handle))
  try {
    await withFile(session, path, 'r+', async (handle) => {
      await write(session, handle, PIECE.length, piece())
      await write(session, handle, 0, piece())
    })
  } catch (cause) {
    const status = statusOf(cause)
    if (status !== SFTP_STATUS.failure && status !== SFTP_STATUS.unsupported) throw cause
    throw failure('onlyInOrder', session.host, { cause })
  } finally {
    if (!session.ended) await remove(session, path)
  }
}

async function* piece() {
  yield PIECE
}
