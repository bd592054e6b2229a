import { execFile } from 'node:child_process'
import { cpus, loadavg, release, totalmem } from 'node:os'
import { promisify } from 'node:util'
import { GiB } from '../src/domain/bytes.ts'

const run = promisify(execFile)

/** What somebody needs to know of the machine to judge the figures; nothing that names it. */
export async function machineFacts(): Promise<readonly string[]> {
  const firstLine = async (command: string) => (await run(command, ['--version'])).stdout.split('\n')[0] ?? ''
  return [
    `${cpus().length} × ${cpus()[0]?.model.trim()}, ${Math.round(totalmem() / GiB)} GiB of memory, Linux ${release()}`,
    `Node ${process.versions.node} with zlib ${process.versions.zlib}, ${await firstLine('qemu-img')}, ${(await firstLine('curl')).split(' (')[0]}`,
    `load average when it began: ${loadavg()
      .map((load) => load.toFixed(2))
      .join(' ')}`
  ]
}
