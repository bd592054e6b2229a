import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { StepReport } from '../../domain/scrub-report.ts'
import type { GuestChange, GuestEntry } from '../guest.ts'
import { Refused } from '../refused.ts'
import type { ScrubStep, StepSettings } from '../scrub-step.ts'
import type { ApplianceFiles } from './appliance-files.ts'
import { commandLine } from './command-line.ts'
import type { Fish } from './fish.ts'
import { pathInShell, shell } from './shell.ts'

/** Files, links and folders; bytes of those that went. */
type Count = { files: number; bytes: number }

/** Makes changes in the appliance, each when it is wanted. */
export class FileChanger {
  readonly #fish: Fish
  readonly #files: ApplianceFiles
  readonly #content: string

  /** @param folder of the host, for what is written */
  constructor(fish: Fish, files: ApplianceFiles, folder: string) {
    this.#fish = fish
    this.#files = files
    this.#content = join(folder, 'content')
  }

  async carryOut(step: ScrubStep, settings: StepSettings, signal: AbortSignal): Promise<StepReport> {
    const count = { files: 0, bytes: 0 }
    for await (const change of step.changes(this.#files, settings)) {
      signal.throwIfAborted()
      await this.#change(change, count)
      this.#files.forget()
    }
    return { id: step.id, changed: count.files > 0, ...count }
  }

  async #change(change: GuestChange, count: Count): Promise<void> {
    const entry = await this.#files.stat(change.path)
    if (change.kind === 'write') return this.#write(change, entry, count)
    if (!entry) return
    if (change.kind === 'remove') return this.#remove(change.path, entry, count)
    if (change.kind === 'blank') return this.#blank(change, entry, count)
    if (entry.kind === 'folder') {
      for (const inside of await this.#files.list(change.path)) {
        await this.#remove(`${change.path}/${inside.name}`, inside, count)
      }
    } else if (entry.kind === 'file' && entry.bytes > 0) {
      await this.#fish.ask(commandLine('truncate', change.path))
      add(count, entry)
    }
  }

  async #blank(
    { path, from }: Extract<GuestChange, { kind: 'blank' }>,
    entry: GuestEntry,
    count: Count
  ): Promise<void> {
    const bytes = Math.max(0, entry.bytes - from)
    if (entry.kind !== 'file' || bytes === 0) return
    const file = pathInShell(path)
    const zeros = `if=/dev/zero bs=1M seek=${from} count=${bytes} oflag=seek_bytes iflag=count_bytes,fullblock`
    // btrfs frees what was there once no byte of it is in use, so those that stay are written anew too.
    const { status } = await shell(
      this.#fish,
      `dd of=${file} ${zeros} conv=notrunc && dd if=${file} of=${file} bs=${from} count=1 conv=notrunc`
    )
    if (status !== '0') throw new Refused('not-blanked', 'a file of it could not be made zeros')
    count.files += 1
    count.bytes += bytes
  }

  async #remove(path: string, entry: GuestEntry, count: Count): Promise<void> {
    if (path === '/') throw new Refused('root', 'a step would remove all of it')
    await this.#countBelow(path, entry, count)
    await this.#fish.ask(commandLine(entry.kind === 'folder' ? 'rm-rf' : 'rm', path))
  }

  async #countBelow(path: string, entry: GuestEntry, count: Count): Promise<void> {
    add(count, entry)
    if (entry.kind !== 'folder') return
    for (const inside of await this.#files.list(path)) await this.#countBelow(`${path}/${inside.name}`, inside, count)
  }

  async #write(
    { path, bytes, mode }: Extract<GuestChange, { kind: 'write' }>,
    entry: GuestEntry | undefined,
    count: Count
  ): Promise<void> {
    const folder = path.slice(0, path.lastIndexOf('/')) || '/'
    if ((await this.#files.stat(folder))?.kind !== 'folder' || (entry && entry.kind !== 'file')) {
      throw new Refused('not-writable', 'a file that a step writes has no folder, or is no file')
    }
    if (entry && (await this.#files.read(path, bytes.length))?.equals(bytes)) return
    await writeFile(this.#content, bytes, { mode: 0o644 })
    await this.#fish.ask(commandLine('upload', this.#content, path))
    await rm(this.#content)
    if (!entry) {
      await this.#fish.ask(commandLine('chmod', `0${mode.toString(8)}`, path))
      await this.#fish.ask(commandLine('chown', '0', '0', path))
    }
    count.files += 1
  }
}

function add(count: Count, { bytes }: GuestEntry): void {
  count.files += 1
  count.bytes += bytes
}
