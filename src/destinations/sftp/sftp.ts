import { randomUUID } from 'node:crypto'
import type { ByteSource } from '../../domain/bytes.ts'
import type { Destination, Found, UploadTarget } from '../destination.ts'
import { failure } from '../failures.ts'
import { partName } from '../path-names.ts'
import { readLogin, SFTP_CREDENTIALS } from './credentials.ts'
import { SFTP_STATUS, statusOf } from './failures.ts'
import { SftpLine, type SftpSettings } from './line.ts'
import { readPlace, within } from './place.ts'
import { freeBytes, look, readFile, remove, withFile } from './remote-file.ts'
import type { SftpSession } from './session.ts'
import { removePart, SftpUpload } from './upload.ts'

/**
 * Writes files to SSH servers (SFTP version 3, draft-ietf-secsh-filexfer-02, and OpenSSH's extensions where there are some).
 * Folders are not made: that they are there is how the user says that the place is the right one.
 */
export function createSftpDestination(settings: SftpSettings): Destination {
  const lineTo = ({ url, credentials }: UploadTarget) => new SftpLine(settings, url, readLogin(credentials?.unwrap()))
  /** On a connection of its own. */
  const once = async <T>(target: UploadTarget, signal: AbortSignal, work: (session: SftpSession) => Promise<T>) => {
    const line = lineTo(target)
    try {
      return await line.use(signal, work)
    } finally {
      line.end()
    }
  }

  return {
    schemes: ['sftp'],
    credentialSchemas: SFTP_CREDENTIALS,
    anonymous: false,
    anyOrder: () => true,
    objectOptions: [],
    namesObject: () => false,
    check(url, credentials) {
      readPlace(url)
      readLogin(credentials)
      settings.policy.checkHost(url, { credentials: true, pointer: '/export_to' })
    },
    checks: (target) => [
      { id: 'dest.auth', run: (signal) => once(target, signal, async () => undefined) },
      { id: 'dest.container', run: (signal) => once(target, signal, (session) => assertFolder(session, target)) },
      { id: 'dest.limits', run: (signal) => once(target, signal, (session) => assertRoom(session, target)) },
      { id: 'dest.write_probe', run: (signal) => once(target, signal, (session) => probe(session, target)) }
    ],
    find: (target, signal) => once(target, signal, (session) => find(session, target)),
    read: (target, { from, to }, signal) => readBack(lineTo(target), target, from, to, signal),
    remove: (target, signal) =>
      once(target, signal, async (session) => {
        await remove(session, readPlace(target.url).path)
      }),
    async open(target, signal) {
      const place = readPlace(target.url)
      const part = partName(place.name, target.marks.exportId)
      const line = lineTo(target)
      await line
        .use(signal, async (session) => {
          await assertRoom(session, target)
          await withFile(session, within(place.folder, part), 'wx', async () => {})
        })
        .catch((error: unknown) => {
          line.end()
          throw error
        })
      return new SftpUpload(line, target, place, part)
    },
    async discard(target, { part }, signal) {
      if (part === undefined) return []
      const line = lineTo(target)
      try {
        return await removePart(line, within(readPlace(target.url).folder, part), signal)
      } finally {
        line.end()
      }
    }
  }
}

async function assertFolder(session: SftpSession, target: UploadTarget): Promise<undefined> {
  const found = await look(session, readPlace(target.url).folder)
  if (!found?.folder) throw failure('notFound', session.host)
}

async function assertRoom(session: SftpSession, target: UploadTarget) {
  const free = await freeBytes(session, readPlace(target.url).folder)
  if (free === undefined) return undefined
  if (target.exact && target.length > free) throw failure('quotaExceeded', session.host)
  return { free_bytes: free }
}

async function probe(session: SftpSession, target: UploadTarget): Promise<undefined> {
  const path = within(readPlace(target.url).folder, `.probe-${randomUUID()}`)
  await withFile(session, path, 'wx', async () => {})
  await remove(session, path)
}

async function find(session: SftpSession, target: UploadTarget): Promise<Found> {
  try {
    const found = await look(session, readPlace(target.url).path)
    if (found === undefined) return { status: 'absent' }
    const length = found.folder ? undefined : found.size
    return { status: 'present', length, exportId: undefined, contentId: undefined }
  } catch (error) {
    if (statusOf(error) === SFTP_STATUS.permissionDenied) return { status: 'unreadable' }
    throw error
  }
}

async function* readBack(
  line: SftpLine,
  target: UploadTarget,
  from: number,
  to: number,
  signal: AbortSignal
): ByteSource {
  try {
    const session = await line.open(signal)
    using _ending = session.endOn(signal)
    yield* readFile(session, readPlace(target.url).path, from, to)
  } finally {
    line.end()
  }
}
