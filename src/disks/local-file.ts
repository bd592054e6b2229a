import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { SourceReadFailed } from '../domain/errors.ts'
import type { RandomAccess, Range } from './disk.ts'

/** Without O_NONBLOCK, opening a FIFO would hold a thread until somebody writes to it. */
const FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

/**
 * A file on this machine's disks, which nobody changes while it is open: its size is taken once.
 * Throws SourceReadFailed when there is no regular file at `path`; a symbolic link is none.
 */
export async function openLocalFile(path: string, dataRanges?: readonly Range[]): Promise<RandomAccess> {
  const handle = await open(path, FLAGS).catch((cause) => {
    if (cause.code === 'EMFILE' || cause.code === 'ENFILE') throw cause // says nothing about the file
    throw new SourceReadFailed('its file cannot be opened', { cause })
  })
  try {
    const stat = await handle.stat()
    if (!stat.isFile()) throw new SourceReadFailed('it is not a regular file')
    return new LocalFile(handle, stat.size, dataRanges)
  } catch (error) {
    await handle.close()
    throw error
  }
}

class LocalFile implements RandomAccess {
  readonly size: number
  readonly dataRanges?: readonly Range[]
  readonly #handle: FileHandle

  constructor(handle: FileHandle, size: number, dataRanges: readonly Range[] | undefined) {
    this.#handle = handle
    this.size = size
    if (dataRanges) this.dataRanges = dataRanges
  }

  async read(target: Uint8Array, offset: number): Promise<void> {
    if (!(offset >= 0) || offset + target.length > this.size) {
      throw new RangeError(`read of ${target.length} bytes at ${offset} in a file of ${this.size}`)
    }
    for (let done = 0; done < target.length; ) {
      const { bytesRead } = await this.#handle
        .read(target, done, target.length - done, offset + done)
        .catch((cause) => {
          throw new SourceReadFailed('its file cannot be read', { cause })
        })
      if (bytesRead === 0) throw new SourceReadFailed(`its file ends at ${offset + done} of ${this.size} bytes`)
      done += bytesRead
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close()
  }
}
