import { type ByteSource, MiB } from '../../domain/bytes.ts'
import type { Destination, Found, Removed, ResumedUpload, SentPart, UploadState, UploadTarget } from '../destination.ts'
import { failure } from '../failures.ts'
import { isPartName, partialFiles, partName } from '../path-names.ts'
import { partsWithin, recordedPartBytes } from '../recorded-parts.ts'
import { type Login, readLogin, SFTP_CREDENTIALS } from './credentials.ts'
import { SFTP_STATUS, statusOf } from './failures.ts'
import { trustIn } from './host-trust.ts'
import type { KnownHosts } from './known-hosts.ts'
import { SftpLine, type SftpSettings } from './line.ts'
import { readPlace, within } from './place.ts'
import { probeWriting } from './probe.ts'
import { freeBytes, fsync, look, names, readFile, remove, withFile } from './remote-file.ts'
import type { SftpSession } from './session.ts'
import { SftpUpload } from './upload.ts'

const PART_BYTES = 32 * MiB

/**
 * Writes files to SSH servers (SFTP version 3, draft-ietf-secsh-filexfer-02, and OpenSSH's extensions where there are some).
 * Folders are not made: that they are there is how the user says that the place is the right one.
 */
export function createSftpDestination(settings: SftpSettings & { readonly knownHosts?: KnownHosts }): Destination {
  const trusting = (url: URL, login: Login) => trustIn(url, login.hostKeySha256, settings.knownHosts)
  const lineTo = ({ url, credentials }: UploadTarget) => {
    const login = readLogin(credentials?.unwrap())
    return new SftpLine(settings, url, login, trusting(url, login))
  }
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
      trusting(url, readLogin(credentials))
      settings.policy.checkHost(url, { credentials: true, pointer: '/export_to' })
    },
    checks: (target) => [
      { id: 'dest.auth', run: (signal) => once(target, signal, async () => undefined) },
      { id: 'dest.container', run: (signal) => once(target, signal, (session) => assertFolder(session, target)) },
      { id: 'dest.limits', run: (signal) => once(target, signal, (session) => assertRoom(session, target)) },
      { id: 'dest.write_probe', run: (signal) => once(target, signal, (session) => probeWriting(session, target)) }
    ],
    find: (target, signal) => once(target, signal, (session) => find(session, target)),
    read: (target, { from, to }, signal) => readBack(lineTo(target), target, from, to, signal),
    remove: (target, signal) =>
      once(target, signal, async (session) => {
        await remove(session, readPlace(target.url).path)
      }),
    async open(target, signal) {
      const line = lineTo(target)
      return line.use(signal, (session) => begin(line, session, target)).catch(endingLine(line))
    },
    async resume(target, state, sent, signal) {
      const line = lineTo(target)
      const resumed = await line
        .use(signal, (session) => resume(line, session, target, state, sent))
        .catch(endingLine(line))
      if (resumed === undefined) line.end()
      return resumed
    },
    discard: (target, state, signal) => once(target, signal, (session) => removeParts(session, target, state))
  }
}

const endingLine =
  (line: SftpLine) =>
  (error: unknown): never => {
    line.end()
    throw error
  }

async function begin(line: SftpLine, session: SftpSession, target: UploadTarget): Promise<SftpUpload> {
  const place = readPlace(target.url)
  const part = partName(place.name, target.marks.exportId)
  await assertRoom(session, target)
  const synced = await withFile(session, within(place.folder, part), 'wx', (handle) => fsync(session, handle))
  return new SftpUpload(line, target, place, { part, synced, partBytes: PART_BYTES, kept: [] })
}

/** Where every part is on the server's disk before it is confirmed, it is there if its range of the file is. */
async function resume(
  line: SftpLine,
  session: SftpSession,
  target: UploadTarget,
  state: UploadState,
  sent: readonly SentPart[]
): Promise<ResumedUpload | undefined> {
  const place = readPlace(target.url)
  const partBytes = recordedPartBytes(state)
  const { part } = state
  if (part === undefined || partBytes === undefined) return undefined
  const found = await look(session, within(place.folder, part))
  if (found === undefined || found.folder) return undefined
  const kept = partsWithin(sent, partBytes, found.size)
  return { upload: new SftpUpload(line, target, place, { part, synced: true, partBytes, kept }), kept }
}

/** Also the recorded file: a folder that may be written need not let anybody list it. */
async function removeParts(
  session: SftpSession,
  { url, marks }: UploadTarget,
  state: UploadState | null
): Promise<Removed> {
  const { folder, name } = readPlace(url)
  const parts = new Set(state?.part === undefined ? [] : [state.part])
  for await (const file of names(session, folder)) {
    if (isPartName(file, name, marks.exportId)) parts.add(file)
  }
  let removed = 0
  for (const part of parts) if (await remove(session, within(folder, part))) removed += 1
  return partialFiles(removed)
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
