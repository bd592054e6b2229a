import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** A folder of its own, gone on dispose, in which qemu's tools make images and say what is in them. */
export class Workshop implements AsyncDisposable {
  readonly folder: string

  private constructor(folder: string) {
    this.folder = folder
  }

  static async open(): Promise<Workshop> {
    return new Workshop(await mkdtemp(join(tmpdir(), 'disks-')))
  }

  path(name: string): string {
    return join(this.folder, name)
  }

  async write(name: string, bytes: Buffer): Promise<string> {
    await writeFile(this.path(name), bytes)
    return this.path(name)
  }

  async qemuImg(...args: readonly string[]): Promise<void> {
    await run('qemu-img', args, { cwd: this.folder })
  }

  /** Runs commands of qemu-io on a file; it reports failures on stdout only. */
  async qemuIo(name: string, commands: readonly string[], format = 'qcow2'): Promise<void> {
    if (commands.length === 0) return // without a command it would wait for some on its input
    const args = ['-f', format, ...commands.flatMap((command) => ['-c', command]), name]
    const { stdout } = await run('qemu-io', args, { cwd: this.folder, maxBuffer: 2 ** 24 })
    if (/fail|error|invalid/i.test(stdout)) throw new Error(`qemu-io: ${stdout}`)
  }

  /** What qemu reads from a file. */
  async reference(name: string, format = 'qcow2'): Promise<Buffer> {
    await this.qemuImg('convert', '-f', format, '-O', 'raw', name, `${name}.reference`)
    return readFile(this.path(`${name}.reference`))
  }

  /** Unpacks the collection of hostile and of harmless images. */
  async unpackFixtures(): Promise<void> {
    const archive = join(import.meta.dirname, '../../fixtures/images/images.tar.xz')
    await run('tar', ['--sparse', '-xJf', archive, '-C', this.folder])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, { recursive: true, force: true })
  }
}

/** Random bytes that are the same every time (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** A disk with noise, text and holes in turn, in runs of odd lengths, and noise in its last bytes. */
export function mixedDisk(size: number, seed = 1): Buffer {
  const random = seededRandom(seed)
  const disk = Buffer.alloc(size)
  for (let at = 0; at < size; ) {
    const end = Math.min(size, at + 1 + Math.floor(random() ** 3 * 400_000))
    const kind = random()
    if (kind < 0.3) for (let i = at; i < end; i += 1) disk[i] = Math.floor(random() * 256)
    else if (kind < 0.6) disk.fill(`line ${at} of a text\n`, at, end)
    at = end
  }
  disk.fill('the end', Math.max(0, size - 100), size)
  return disk
}
