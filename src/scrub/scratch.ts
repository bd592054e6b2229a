import { mkdir, mkdtemp, readdir, rm, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { ScratchFull } from '../domain/scrub-errors.ts'

export type ScratchSettings = {
  /** Of all workers of this machine, or of several. */
  readonly root: string
  readonly host: string
  readonly pid: number
  /** What has to be free before an export is begun: overlays are some megabytes, and part of what is free may be others'. */
  readonly reserveBytes: number
}

/** A private folder, removed with all in it when it is disposed of. */
export type WorkFolder = AsyncDisposable & { readonly path: string }

/** Where the overlays of one worker are, each export's in a folder of its own. */
export class Scratch {
  readonly #settings: ScratchSettings
  readonly #own: string

  constructor(settings: ScratchSettings) {
    this.#settings = settings
    this.#own = join(settings.root, `${settings.host}.${settings.pid}`)
  }

  /** @throws ScratchFull */
  async folder(): Promise<WorkFolder> {
    await mkdir(this.#own, { recursive: true, mode: 0o700 })
    const { bavail, bsize } = await statfs(this.#own)
    if (bavail * bsize < this.#settings.reserveBytes) throw new ScratchFull()
    const path = await mkdtemp(join(this.#own, 'export-'))
    return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
  }

  /** Removes what workers of this machine that have died left behind, and an earlier one with this one's number. */
  async clear(): Promise<number> {
    const { root, host, pid } = this.#settings
    let removed = 0
    for (const name of await readdir(root).catch(() => [])) {
      const number = name.startsWith(`${host}.`) ? Number(name.slice(host.length + 1)) : Number.NaN
      if (!Number.isSafeInteger(number) || number <= 0 || (number !== pid && isAlive(number))) continue
      await rm(join(root, name), { recursive: true, force: true })
      removed += 1
    }
    return removed
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return Object(error).code !== 'ESRCH' // one of another user lives too
  }
}
