import { failure } from '../failures.ts'
import { SFTP_STATUS, statusOf } from './failures.ts'
import { isUnsupported, look } from './remote-file.ts'
import type { SftpSession } from './session.ts'

/**
 * Gives a whole file the name of its object. The protocol's rename fails when the new name is taken (and OpenSSH's does so in one
 * step); the one that replaces is an extension of OpenSSH's. A server without it still takes a name that is free.
 * @returns whether the server would have replaced what stands there
 * @throws DestinationError DEST_OBJECT_EXISTS where the name is taken and nothing may, or can, be replaced
 */
export async function rename(session: SftpSession, from: string, to: string, replace: boolean): Promise<boolean> {
  if (replace && (await renameOver(session, from, to))) return true
  const taken = replace ? 'notReplaced' : 'objectExists'
  // Some servers replace all the same.
  if (await look(session, to)) throw failure(taken, session.host)
  try {
    await session.request<void>((sftp, done) => sftp.rename(from, to, done))
  } catch (error) {
    if (statusOf(error) === SFTP_STATUS.failure && (await look(session, to)))
      throw failure(taken, session.host, { cause: error })
    throw explained(session, error)
  }
  return false
}

/** @returns false when the server has no word for that; then nothing was renamed */
async function renameOver(session: SftpSession, from: string, to: string): Promise<boolean> {
  try {
    await session.request<void>((sftp, done) => sftp.ext_openssh_rename(from, to, done))
    return true
  } catch (error) {
    if (!isUnsupported(error)) throw explained(session, error)
    return false
  }
}

/** The file was written there, so it is not writing that is forbidden. */
const explained = (session: SftpSession, error: unknown): unknown =>
  statusOf(error) === SFTP_STATUS.permissionDenied ? failure('notRenamed', session.host, { cause: error }) : error
