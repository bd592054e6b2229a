import { constants } from 'node:fs'
import { access, type FileHandle, link, lstat, mkdir, open, readdir, rename, statfs, unlink } from 'node:fs/promises'
import { failure } from '../failures.ts'
import { isPlainName } from '../path-names.ts'
import { errnoOf, FILE_STORE } from './failures.ts'

const { O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants

/**
 * An open folder. What is in it is named relative to its descriptor, as openat(2) does, by Linux's `/proc/self/fd`: nothing
 * that happens to the folder's path meanwhile leads elsewhere, and no symbolic link is ever followed.
 */
export class Folder implements AsyncDisposable {
  readonly #handle: FileHandle

  private constructor(handle: FileHandle) {
    this.#handle = handle
  }

  /** The operator's folder; links on the way to it are the operator's own. */
  static async root(path: string): Promise<Folder> {
    return new Folder(
      await open(path, O_RDONLY | O_DIRECTORY).catch((cause: unknown) => {
        throw failure('storeGone', FILE_STORE, { cause })
      })
    )
  }

  async folder(name: string): Promise<Folder> {
    return new Folder(await open(this.#path(name), O_RDONLY | O_DIRECTORY | O_NOFOLLOW))
  }

  /** For the service alone: who else may read is for the operator to say, with the folder's default ACL. */
  async makeFolder(name: string): Promise<void> {
    await mkdir(this.#path(name), { mode: 0o700 })
    await this.sync()
  }

  /** A regular file; opening a pipe that somebody put there does not wait for its other end. */
  async file(name: string, flags: number): Promise<FileHandle> {
    const file = await open(this.#path(name), flags | O_NOFOLLOW | O_NONBLOCK, 0o600)
    if ((await file.stat()).isFile()) return file
    await file.close()
    throw failure('notAFolder', FILE_STORE)
  }

  /** What has this name, a link not followed; undefined when nothing has. */
  look(name: string) {
    return lstat(this.#path(name)).catch((error: unknown) => {
      if (errnoOf(error) === 'ENOENT') return undefined
      throw error
    })
  }

  /** Of everything in it. */
  names(): Promise<string[]> {
    return readdir(this.#self)
  }

  /** Gives a file its name for good, in one step: with `replace` instead of what has that name, else only if nothing has. */
  async publish(name: string, as: string, replace: boolean): Promise<void> {
    if (replace) {
      await rename(this.#path(name), this.#path(as))
    } else {
      await link(this.#path(name), this.#path(as))
      await unlink(this.#path(name))
    }
    await this.sync()
  }

  /** @returns whether there was such a file */
  async remove(name: string): Promise<boolean> {
    try {
      await unlink(this.#path(name))
      return true
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return false
      throw error
    }
  }

  async assertWritable(): Promise<void> {
    await access(this.#self, constants.W_OK | constants.X_OK)
  }

  /** Bytes that a file here can still take. */
  async freeBytes(): Promise<number> {
    const { bavail, bsize } = await statfs(this.#self)
    return bavail * bsize
  }

  /** Returns when the names in it are on the disk. */
  async sync(): Promise<void> {
    await this.#handle.sync()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close()
  }

  get #self(): string {
    return `/proc/self/fd/${this.#handle.fd}`
  }

  #path(name: string): string {
    if (!isPlainName(name)) throw new Error('a name of a file was expected')
    return `${this.#self}/${name}`
  }
}
