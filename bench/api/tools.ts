import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** Runs a program to its end and gives what it printed; throws with its errors when it fails. */
export async function runToEnd(program: string, args: readonly string[]): Promise<string> {
  return (await run(program, [...args], { maxBuffer: 1 << 26 })).stdout
}
