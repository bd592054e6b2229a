import { execFile } from 'node:child_process'
import { statfs } from 'node:fs/promises'
import { promisify } from 'node:util'
import { MiB } from '../src/domain/bytes.ts'

const run = promisify(execFile)
/** Of the machine's memory, of which it takes no more than what is kept there: nobody fetches that before the end. */
const ROOMY = '50%'
const MOST_SPARE_MIB = 1024

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

  /** Takes away what room there is, but for what others take while that is done. */
  async fill(spareMiB = 1): Promise<void> {
    const { blocks, bfree, bsize } = await statfs(this.#path)
    const size = (blocks - bfree) * bsize + spareMiB * MiB
    await this.#resize(String(size)).catch((error: unknown) => {
      if (spareMiB >= MOST_SPARE_MIB) throw error
      return this.fill(2 * spareMiB)
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
