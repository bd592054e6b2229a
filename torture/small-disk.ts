import { execFile } from 'node:child_process'
import { statfs } from 'node:fs/promises'
import { promisify } from 'node:util'

const run = promisify(execFile)
/** Of the machine's memory, of which it takes no more than what is kept there: nobody fetches that before the end. */
const ROOMY = '50%'

/** A file system in memory that can be made to have no room, however much lies in it. */
export class SmallDisk implements AsyncDisposable {
  readonly #path: string

  private constructor(path: string) {
    this.#path = path
  }

  /** @returns nothing where it cannot be mounted, which takes root */
  static mount(path: string): Promise<SmallDisk | undefined> {
    return run('mount', ['-t', 'tmpfs', '-o', `size=${ROOMY},mode=0700`, 'tmpfs', path]).then(
      () => new SmallDisk(path),
      () => undefined
    )
  }

  /** Takes away what room there is. */
  async fill(tries = 10): Promise<void> {
    const { blocks, bfree, bsize } = await statfs(this.#path)
    const used = Math.max(1, blocks - bfree) * bsize // none is no limit, see tmpfs(5)
    await this.#resize(String(used)).catch((error: unknown) => {
      if (tries === 1) throw error
      return this.fill(tries - 1) // more was written meanwhile
    })
  }

  free(): Promise<void> {
    return this.#resize(ROOMY)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await run('umount', ['-l', this.#path])
  }

  async #resize(size: string): Promise<void> {
    await run('mount', ['-o', `remount,size=${size}`, this.#path])
  }
}
