import { randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import { type ByteSource, MiB } from '../../domain/bytes.ts'
import { credentialsInvalid } from '../credentials.ts'
import type { Destination, Found, Removed, ResumedUpload, SentPart, UploadState, UploadTarget } from '../destination.ts'
import { failure } from '../failures.ts'
import { isPartName, partialFiles, partName, readNames } from '../path-names.ts'
import { partsWithin, recordedPartBytes } from '../recorded-parts.ts'
import { errnoOf, FILE_STORE, fileFailure } from './failures.ts'
import type { Folder } from './folder.ts'
import { Place } from './place.ts'
import { FileUpload, orFileFailure } from './upload.ts'

const PART_BYTES = 32 * MiB
const { O_CREAT, O_EXCL, O_RDONLY, O_WRONLY } = constants

/**
 * Writes files below one folder of the operator's, `root`, in a folder for each project. `file:///a/b` of the project P is
 * `<root>/<P>/a/b`; folders are made when they are missing. How no path leads out of there is told in folder.ts.
 */
export function createFileDestination({ root }: { readonly root: string }): Destination {
  const placeOf = (target: UploadTarget) => new Place(root, target)
  return {
    schemes: ['file'],
    credentialSchemas: [],
    anonymous: true,
    anyOrder: () => true,
    objectOptions: [],
    namesObject: () => false,
    check(url, credentials) {
      if (credentials !== undefined && credentials.kind !== 'none')
        throw credentialsInvalid('kind', 'file takes no credentials')
      readNames(url)
    },
    checks: (target) => {
      const inFolder = <T>(work: (folder: Folder) => Promise<T>) =>
        orFileFailure(async () => {
          await using folder = await placeOf(target).open('stay')
          return await work(folder)
        })
      return [
        { id: 'dest.container', run: () => inFolder((folder) => folder.assertWritable().then(() => undefined)) },
        {
          id: 'dest.limits',
          run: () => inFolder(async (folder) => ({ free_bytes: await assertRoom(folder, target) }))
        },
        { id: 'dest.write_probe', run: () => inFolder(probe) }
      ]
    },
    find: (target) => orFileFailure(() => find(placeOf(target))),
    read: (target, { from, to }, signal) => read(placeOf(target), from, to, signal),
    remove: (target) =>
      orFileFailure(async () => {
        const place = placeOf(target)
        await using folder = await place.open('fail').catch(absentFolder)
        await folder?.remove(place.name)
      }),
    open: (target, signal) =>
      orFileFailure(async () => {
        const place = placeOf(target)
        signal.throwIfAborted()
        await using folder = await place.open('make')
        await assertRoom(folder, target)
        const part = partName(place.name, target.marks.exportId)
        await (await folder.file(part, O_WRONLY | O_CREAT | O_EXCL)).close()
        return new FileUpload(place, target, part, { partBytes: PART_BYTES, kept: [] })
      }),
    resume: (target, state, sent, signal) =>
      orFileFailure(() => {
        signal.throwIfAborted()
        return resume(placeOf(target), target, state, sent)
      }),
    discard: (target) => orFileFailure(() => removeParts(placeOf(target), target.marks.exportId)),
    // A file that is not to replace another has two names for a moment.
    tidy: (target) => orFileFailure(() => removeParts(placeOf(target), target.marks.exportId))
  }
}

async function assertRoom(folder: Folder, { length, exact }: UploadTarget): Promise<number> {
  const free = await folder.freeBytes()
  if (exact && length > free) throw failure('storeFull', FILE_STORE)
  return free
}

async function probe(folder: Folder): Promise<undefined> {
  const name = `.probe-${randomUUID()}`
  await using file = await folder.file(name, O_WRONLY | O_CREAT | O_EXCL)
  await folder.remove(name) // first, so that a worker that dies over it leaves nothing
  await file.write('probe')
  await file.sync()
}

const absentFolder = (error: unknown): undefined => {
  if (errnoOf(error) !== 'ENOENT') throw error
}

async function find(place: Place): Promise<Found> {
  await using folder = await place.open('fail').catch(absentFolder)
  const stats = await folder?.look(place.name)
  if (stats === undefined) return { status: 'absent' }
  const length = stats.isFile() ? stats.size : undefined
  return { status: 'present', length, exportId: undefined, contentId: undefined }
}

/** A part is on the disk before it is confirmed (see `writePart`), so it is there if its range of the file is. */
async function resume(
  place: Place,
  target: UploadTarget,
  state: UploadState,
  sent: readonly SentPart[]
): Promise<ResumedUpload | undefined> {
  const partBytes = recordedPartBytes(state)
  const { part } = state
  if (part === undefined || partBytes === undefined) return undefined
  await using folder = await place.open('fail').catch(absentFolder)
  const found = await folder?.look(part)
  if (!found?.isFile()) return undefined
  const kept = partsWithin(sent, partBytes, found.size)
  return { upload: new FileUpload(place, target, part, { partBytes, kept }, found.ino), kept }
}

/** A part's name tells whose it is. */
async function removeParts(place: Place, exportId: string): Promise<Removed> {
  await using folder = await place.open('fail').catch(absentFolder)
  if (folder === undefined) return []
  let removed = 0
  for (const name of await folder.names()) {
    if (isPartName(name, place.name, exportId) && (await folder.remove(name))) removed += 1
  }
  return partialFiles(removed)
}

const READ_BYTES = 1 * MiB

async function* read(place: Place, from: number, to: number, signal: AbortSignal): ByteSource {
  try {
    await using folder = await place.open('fail')
    await using file = await folder.file(place.name, O_RDONLY)
    const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, to - from))
    for (let at = from; at < to; ) {
      signal.throwIfAborted()
      const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, to - at), at)
      if (bytesRead === 0) throw failure('lengthDiffers', FILE_STORE)
      at += bytesRead
      yield buffer.subarray(0, bytesRead)
    }
  } catch (error) {
    throw fileFailure(error)
  }
}
