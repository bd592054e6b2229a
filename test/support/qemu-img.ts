import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** The real qemu-img, our oracle. Rejects with its own words when it finds fault. */
export async function qemuImg(...args: string[]): Promise<string> {
  try {
    return (await run('qemu-img', args, { maxBuffer: 64 * 1024 * 1024 })).stdout
  } catch (error) {
    if (error instanceof Error && 'stdout' in error)
      throw new Error(`qemu-img ${args.join(' ')}: ${error.message}\n${error.stdout}`)
    throw error
  }
}
