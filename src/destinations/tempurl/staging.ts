import {
  type FileHandle,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  rmdir,
  stat,
  statfs,
  unlink,
  writeFile
} from 'node:fs/promises'
import { join } from 'node:path'
import { isUuid, type TaskId, taskId } from '../../domain/ids.ts'
import { StagingFull } from '../../domain/temp-url-errors.ts'

export type StagingSettings = {
  /** Folder for the files; API and workers share it. */
  readonly dir: string
  /** Left free on its disk for others. */
  readonly reserveBytes: number
}

const DATA = 'data'
const VIRTUAL = 'virtual.json'

/**
 * Files that wait for their download, a folder for each task: `data` is the file, `virtual.json` says that it is made whenever
 * it is read. Neither is there before the upload was committed.
 */
export class Staging {
  readonly #dir: string
  readonly #reserveBytes: number

  constructor({ dir, reserveBytes }: StagingSettings) {
    this.#dir = dir
    this.#reserveBytes = reserveBytes
  }

  /** Of the file, which need not be there. */
  path(task: TaskId): string {
    return join(this.#folder(task), DATA)
  }

  /** Bytes of the committed file, kept or virtual; undefined when there is none. */
  async length(task: TaskId): Promise<number | undefined> {
    const file = await orAbsent(stat(this.path(task)))
    if (file) return file.size
    const text = await orAbsent(readFile(join(this.#folder(task), VIRTUAL), 'utf8'))
    return text === undefined ? undefined : Number(JSON.parse(text).length)
  }

  /** Makes an empty file that nobody sees. */
  async begin(task: TaskId, part: string): Promise<void> {
    await mkdir(this.#folder(task), { recursive: true, mode: 0o700 })
    await (await open(this.#part(task, part), 'wx', 0o600)).close()
  }

  read(task: TaskId): Promise<FileHandle> {
    return open(this.path(task), 'r')
  }

  /** Of what `begin` has made. Fails with ENOENT when somebody has removed it. */
  edit(task: TaskId, part: string): Promise<FileHandle> {
    return open(this.#part(task, part), 'r+')
  }

  /** Bytes of what `begin` has made; undefined when it is not there. */
  async partLength(task: TaskId, part: string): Promise<number | undefined> {
    return (await orAbsent(stat(this.#part(task, part))))?.size
  }

  /** The file gets its name, in one step that survives a crash. */
  async publish(task: TaskId, part: string): Promise<void> {
    await rename(this.#part(task, part), this.path(task))
    await this.sync(task)
  }

  async publishVirtual(task: TaskId, part: string, length: number): Promise<void> {
    await writeFile(this.#part(task, part), JSON.stringify({ length }), { flag: 'r+', flush: true })
    await rename(this.#part(task, part), join(this.#folder(task), VIRTUAL))
    await this.sync(task)
  }

  /** One unfinished file. @returns whether it was there */
  async removePart(task: TaskId, part: string): Promise<boolean> {
    const there = await orAbsent(unlink(this.#part(task, part)).then(() => true))
    // Unless another attempt has something there.
    await orAbsent(rmdir(this.#folder(task))).catch((error: unknown) => {
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOTEMPTY')) throw error
    })
    return there === true
  }

  /** Everything of the task. @returns whether there was anything */
  async remove(task: TaskId): Promise<boolean> {
    const there = await orAbsent(stat(this.#folder(task)))
    await rm(this.#folder(task), { recursive: true, force: true })
    return there !== undefined
  }

  /** Tasks that have anything here. */
  async tasks(): Promise<TaskId[]> {
    const names = (await orAbsent(readdir(this.#dir))) ?? []
    return names.filter(isUuid).map(taskId)
  }

  /** Bytes that files here may still take. */
  async freeBytes(): Promise<number> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 })
    const { bavail, bsize } = await statfs(this.#dir)
    return Math.max(0, bavail * bsize - this.#reserveBytes)
  }

  /** @throws StagingFull */
  async assertRoom(bytes: number): Promise<void> {
    if (bytes > (await this.freeBytes())) throw new StagingFull()
  }

  /** Returns when the names of the task's files are on the disk. */
  async sync(task: TaskId): Promise<void> {
    for (const path of [this.#folder(task), this.#dir]) {
      await using folder = await open(path, 'r')
      await folder.sync()
    }
  }

  #part(task: TaskId, part: string): string {
    if (!/^[0-9a-f-]+\.part$/.test(part)) throw new TypeError('a name of an unfinished file was expected')
    return join(this.#folder(task), part)
  }

  /** Ids become names here and nowhere else; a UUID cannot lead out of the folder. */
  #folder(task: TaskId): string {
    if (!isUuid(task)) throw new TypeError('a task id that is not a UUID')
    return join(this.#dir, task)
  }
}

async function orAbsent<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}
