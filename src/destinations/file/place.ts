import { createHash } from 'node:crypto'
import type { OwnerId } from '../../domain/ids.ts'
import type { UploadTarget } from '../destination.ts'
import { readNames } from '../path-names.ts'
import { errnoOf } from './failures.ts'
import { Folder } from './folder.ts'

/** What to do when a folder on the way is not there: make it, fail with ENOENT, or stay in the last that is. */
export type WhenMissing = 'make' | 'fail' | 'stay'

/** Where an object is: the folder of its project below the root, folders in there, its name. */
export class Place {
  readonly name: string
  readonly #root: string
  readonly #folders: readonly string[]

  constructor(root: string, { url, marks }: Pick<UploadTarget, 'url' | 'marks'>) {
    const { folders, name } = readNames(url)
    this.name = name
    this.#root = root
    this.#folders = [projectFolder(marks.owner), ...folders]
  }

  /** Goes down from the root, one name at a time. The caller disposes of the folder. */
  async open(missing: WhenMissing): Promise<Folder> {
    let folder = await Folder.root(this.#root)
    for (const name of this.#folders) {
      const inner = await enter(folder, name, missing).catch(async (error: unknown) => {
        await folder[Symbol.asyncDispose]()
        throw error
      })
      if (inner === undefined) return folder
      await folder[Symbol.asyncDispose]()
      folder = inner
    }
    return folder
  }
}

async function enter(folder: Folder, name: string, missing: WhenMissing): Promise<Folder | undefined> {
  try {
    return await folder.folder(name)
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT' || missing === 'fail') throw error
    if (missing === 'stay') return undefined
  }
  await folder.makeFolder(name).catch((error: unknown) => {
    if (errnoOf(error) !== 'EEXIST') throw error // another export was quicker
  })
  return folder.folder(name)
}

/**
 * The folder of a project. Different projects never share one: whatever is not a letter, a digit, `-` or `_` is
 * percent-encoded, and what gets too long for a name is replaced by its SHA-256.
 */
export function projectFolder(owner: OwnerId): string {
  const encoded = [...Buffer.from(owner)].map((byte) => SAFE[byte] ?? `%${byte.toString(16).padStart(2, '0')}`).join('')
  if (encoded.length > 0 && encoded.length <= 200) return encoded
  return `%sha256-${createHash('sha256').update(owner).digest('hex')}`
}

const SAFE: Readonly<Record<number, string>> = Object.fromEntries(
  [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'].map((letter) => [
    letter.charCodeAt(0),
    letter
  ])
)
