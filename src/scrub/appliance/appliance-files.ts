import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { MiB } from '../../domain/bytes.ts'
import type { GuestEntry, GuestFiles } from '../guest.ts'
import { Refused } from '../refused.ts'
import { commandLine, fitsList, inLists, listOf } from './command-line.ts'
import { factsOf, folderBytes } from './file-facts.ts'
import type { Fish } from './fish.ts'

/** Some hundred thousand names; a folder that is longer is no folder of a system. */
const FOLDER_BYTES = 16 * MiB
const MAX_ENTRIES = 1_000_000
const CHUNK_BYTES = MiB

const ROOT: GuestEntry = { name: '', kind: 'folder', bytes: 0, mode: 0o755, uid: 0, gid: 0 }

/** The files of what is mounted in the appliance. Its kernel would follow links: so each folder of a path is looked at before. */
export class ApplianceFiles implements GuestFiles {
  readonly #fish: Fish
  readonly #names: string
  readonly #folders = new Map<string, boolean>()
  #entries = 0

  /** @param folder of the host, for lists of names that are read and removed */
  constructor(fish: Fish, folder: string) {
    this.#fish = fish
    this.#names = join(folder, 'names')
  }

  async stat(path: string): Promise<GuestEntry | undefined> {
    if (path === '/') return ROOT
    const { folder, name } = split(path)
    if (!isName(name) || !(await this.#isFolder(folder))) return undefined
    if (!fitsList(name) && !(await this.#namesIn(folder)).includes(name)) return undefined
    const [entry] = await this.#look(folder, [name])
    return entry
  }

  async list(folder: string): Promise<readonly GuestEntry[]> {
    if (!(await this.#isFolder(folder))) return []
    const entries = await this.#look(folder, await this.#namesIn(folder))
    return entries.filter((entry) => entry !== undefined)
  }

  async read(path: string, limit: number): Promise<Buffer | undefined> {
    const entry = await this.stat(path)
    if (entry?.kind !== 'file' || entry.bytes > limit) return undefined
    const chunks: Buffer[] = []
    for (let at = 0; at < entry.bytes; at += CHUNK_BYTES) {
      const bytes = Math.min(CHUNK_BYTES, entry.bytes - at)
      chunks.push(await this.#fish.ask(commandLine('pread', path, String(bytes), String(at))))
    }
    return Buffer.concat(chunks)
  }

  async head(path: string, bytes: number): Promise<Buffer | undefined> {
    const entry = await this.stat(path)
    if (entry?.kind !== 'file') return undefined
    return this.#fish.ask(commandLine('pread', path, String(Math.min(bytes, entry.bytes)), '0'))
  }

  /** Whatever was changed: folders that were seen may be none any more. */
  forget(): void {
    this.#folders.clear()
  }

  async #isFolder(path: string): Promise<boolean> {
    if (path === '/' || path === '') return true
    const known = this.#folders.get(path)
    if (known !== undefined) return known
    const is = (await this.stat(path))?.kind === 'folder'
    this.#folders.set(path, is)
    return is
  }

  /** @param folder that is one */
  async #namesIn(folder: string): Promise<readonly string[]> {
    const path = folder || '/'
    if (folderBytes(await this.#fish.text(commandLine('lstatns', path))) > FOLDER_BYTES) {
      throw new Refused('folder-too-large', 'one of its folders has more in it than is looked at')
    }
    await this.#fish.ask(commandLine('ls0', path, this.#names))
    const names = await readFile(this.#names, 'latin1')
    await rm(this.#names)
    return names.split('\0').filter(isName)
  }

  /** @param names of which those with quotes are known to be there */
  async #look(folder: string, names: readonly string[]): Promise<(GuestEntry | undefined)[]> {
    this.#entries += names.length
    if (this.#entries > MAX_ENTRIES)
      throw new Refused('too-many-files', 'there are more files in it than are looked at')
    const path = folder || '/'
    const found = new Map<string, GuestEntry | undefined>()
    for (const list of inLists(path, names.filter(fitsList))) {
      const printed = await this.#fish.text(commandLine('lstatnslist', path, listOf(list)))
      factsOf(printed, list).forEach((entry, i) => {
        found.set(list[i] ?? '', entry)
      })
    }
    for (const name of names.filter((one) => !fitsList(one))) {
      const printed = await this.#fish.text(commandLine('lstatns', `${folder === '/' ? '' : folder}/${name}`))
      found.set(name, factsOf(printed, [name])[0])
    }
    return names.map((name) => found.get(name))
  }
}

function split(path: string): { readonly folder: string; readonly name: string } {
  const at = path.lastIndexOf('/')
  return { folder: path.slice(0, at), name: path.slice(at + 1) }
}

const isName = (name: string): boolean => name !== '' && name !== '.' && name !== '..'
