import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { Log } from '../export/ports.ts'

/**
 * Closes the ways on which this process's memory could reach a disk without anybody asking for it: core dumps, also of the
 * processes it starts, and the environment in Node's diagnostic reports.
 */
export async function keepMemoryToOurselves(log: Log): Promise<void> {
  process.report.excludeEnv = true
  // Node cannot set its own limits; util-linux, which every Debian has, can.
  await promisify(execFile)('prlimit', ['--pid', `${process.pid}`, '--core=0:0'], {
    env: { PATH: process.env.PATH }
  }).catch(({ message }: Error) =>
    log.warn({ reason: message }, 'core dumps could not be turned off: do so where it is started')
  )
}

/**
 * Gives the system back what loading the code has taken, some MiB, which stays with the process for good otherwise. Takes
 * `--expose-gc`; without it nothing happens.
 */
export function giveBackWhatStartingTook(): void {
  globalThis.gc?.({ type: 'major', execution: 'sync', flavor: 'last-resort' })
}
