import { mkdir, open, readdir, readFile, rename, rm, rmdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { RandomAccess, Range } from '../disks/disk.ts'
import { openLocalFile } from '../disks/local-file.ts'
import type { ByteSource } from '../domain/bytes.ts'
import { SourceReadFailed } from '../domain/errors.ts'
import { type ImageId, isUuid } from '../domain/ids.ts'
import { ImageNotFound, ImageTooLarge, StoreFull } from '../domain/image-errors.ts'
import type { Hashers } from '../hashing/hashers.ts'
import { Digests } from './digests.ts'
import type { ImageSource } from './image-source.ts'
import { leavingRoom } from './leaving-room.ts'
import { SparseWriter } from './sparse-writer.ts'
import { formatStoredRanges, parseStoredRanges } from './stored-ranges.ts'
import { untilAborted } from './until-aborted.ts'

const dayMs = 24 * 60 * 60 * 1000

export type LibraryFilesSettings = {
  /** Folder of all images, made when it is not there. Nobody else may write to it. */
  readonly dir: string
  readonly hashers: Hashers
  /** What uploads leave free on the disk for others; 0 when left out. */
  readonly reserveBytes?: number
  /** The upload whose bytes are the image's, as the image's row has it; undefined when there is none. */
  readonly uploadOf: (id: ImageId) => Promise<string | undefined>
}

type Stored = { size: number; checksum: string; sha512: string; dataRanges: readonly Range[] }

/**
 * Images of the library in a folder: `<image id>/<upload id>/` holds the bytes (`data`) and where they are not zeros
 * (`ranges.json`); it is called `<upload id>.part` until it is published. Implements the library's ImageFiles.
 */
export interface LibraryFiles extends ImageSource {
  /** See ImageFiles. */
  write(id: ImageId, uploadId: string, source: ByteSource, maxBytes: number, signal: AbortSignal): Promise<Stored>
  openUpload(id: ImageId, uploadId: string): Promise<RandomAccess>
  publish(id: ImageId, uploadId: string): Promise<void>
  discard(id: ImageId, uploadId: string): Promise<void>
  /** Removes uploads of an image, published or not, that nothing was written to for so long. */
  removeOlder(id: ImageId, ms: number): Promise<{ readonly removed: number; readonly left: number }>
  /** Removes what dead uploads left: `.part` folders that nothing was written to for a day. Returns how many there were. */
  sweep(): Promise<number>
}

export function libraryFiles({ dir, hashers, reserveBytes = 0, uploadOf }: LibraryFilesSettings): LibraryFiles {
  /** Ids become names here and nowhere else; a UUID cannot lead out of the folder. */
  const imageFolder = (id: string): string => join(dir, checkedUuid(id))
  const uploadFolder = (id: string, uploadId: string): string => join(imageFolder(id), checkedUuid(uploadId))
  const partFolder = (id: string, uploadId: string): string => `${uploadFolder(id, uploadId)}.part`

  async function discard(id: ImageId, uploadId: string): Promise<void> {
    await rm(partFolder(id, uploadId), { recursive: true, force: true })
    await rm(uploadFolder(id, uploadId), { recursive: true, force: true })
    await removeIfEmpty(imageFolder(id))
  }

  return {
    async open(id, signal) {
      signal.throwIfAborted()
      const uploadId = await uploadOf(id)
      if (uploadId === undefined) throw new ImageNotFound(id)
      return openStored(uploadFolder(id, uploadId))
    },

    openUpload: async (id, uploadId) => openStored(partFolder(id, uploadId)),

    async write(id, uploadId, source, maxBytes, signal) {
      const folder = partFolder(id, uploadId)
      try {
        await mkdir(folder, { recursive: true, mode: 0o700 })
        const bytes = leavingRoom(untilAborted(source, signal), folder, reserveBytes)
        const stored = await writeData(join(folder, 'data'), bytes, maxBytes, hashers)
        await writeRanges(join(folder, 'ranges.json'), stored)
        await syncFolder(folder)
        signal.throwIfAborted()
        return stored
      } catch (error) {
        await discard(id, uploadId).catch(() => {}) // what stays is swept later
        throw isFull(error) ? new StoreFull({ cause: error }) : error
      }
    },

    async publish(id, uploadId) {
      await rename(partFolder(id, uploadId), uploadFolder(id, uploadId))
      await syncFolder(imageFolder(id))
      await syncFolder(dir)
    },

    discard,

    async removeOlder(id, ms) {
      const folders = (await namesIn(imageFolder(id))).map((name) => join(imageFolder(id), name))
      let removed = 0
      for (const folder of folders) {
        if (Date.now() - (await lastWrite(folder)) < ms) continue
        await rm(folder, { recursive: true, force: true })
        removed += 1
      }
      await removeIfEmpty(imageFolder(id))
      return { removed, left: folders.length - removed }
    },

    async sweep() {
      let removed = 0
      for (const id of await namesIn(dir)) {
        if (!isUuid(id)) continue
        for (const name of await namesIn(join(dir, id))) {
          const folder = join(dir, id, name)
          if (!name.endsWith('.part') || Date.now() - (await lastWrite(folder)) < dayMs) continue
          await rm(folder, { recursive: true, force: true })
          removed += 1
        }
        await removeIfEmpty(join(dir, id))
      }
      return removed
    }
  }
}

function checkedUuid(text: string): string {
  if (!isUuid(text)) throw new TypeError('an image or upload id that is not a UUID')
  return text
}

async function writeData(path: string, source: ByteSource, maxBytes: number, hashers: Hashers): Promise<Stored> {
  await using file = await open(path, 'wx', 0o600)
  const sparse = new SparseWriter(file)
  using digests = new Digests(hashers, ['md5', 'sha512'])
  let size = 0
  for await (const chunk of source) {
    size += chunk.length
    if (size > maxBytes) throw new ImageTooLarge(maxBytes)
    await digests.write(chunk)
    await sparse.write(chunk)
  }
  const dataRanges = await sparse.finish()
  await file.sync()
  const { md5: checksum, sha512 } = await digests.finish()
  return { size, checksum, sha512, dataRanges }
}

async function writeRanges(path: string, { size, dataRanges }: Stored): Promise<void> {
  await using file = await open(path, 'wx', 0o600)
  await file.writeFile(formatStoredRanges({ size, dataRanges }))
  await file.sync()
}

/** Throws SourceReadFailed when the files are not there or do not belong together. */
async function openStored(folder: string): Promise<RandomAccess> {
  const text = await readFile(join(folder, 'ranges.json'), 'utf8').catch((cause: unknown) => {
    if (hasCode(cause, 'EMFILE', 'ENFILE')) throw cause // says nothing about the image
    throw new SourceReadFailed('its files are not in the image store', { cause })
  })
  const { size, dataRanges } = parseStoredRanges(text)
  const file = await openLocalFile(join(folder, 'data'), dataRanges)
  if (file.size === size) return file
  await file[Symbol.asyncDispose]()
  throw new SourceReadFailed(`its file has ${file.size} bytes where ${size} were stored`)
}

/** Makes the names in a folder survive a crash. */
async function syncFolder(path: string): Promise<void> {
  await using folder = await open(path, 'r')
  await folder.sync()
}

/** Milliseconds since 1970; the folder itself is as old as its last new name. */
async function lastWrite(folder: string): Promise<number> {
  const data = await stat(join(folder, 'data')).catch(() => undefined)
  return Math.max(data?.mtimeMs ?? 0, (await stat(folder)).mtimeMs)
}

const namesIn = (folder: string): Promise<string[]> =>
  readdir(folder).catch((error: unknown) => {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return []
    throw error
  })

const removeIfEmpty = (folder: string): Promise<void> =>
  rmdir(folder).catch((error: unknown) => {
    if (!hasCode(error, 'ENOENT', 'ENOTDIR', 'ENOTEMPTY', 'EEXIST')) throw error
  })

const isFull = (error: unknown): boolean => hasCode(error, 'ENOSPC', 'EDQUOT')

const hasCode = (error: unknown, ...codes: string[]): boolean =>
  error instanceof Error && 'code' in error && codes.includes(String(error.code))
