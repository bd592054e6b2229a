import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe } from 'vitest'

const run = promisify(execFile)
/** Makers of file systems lie outside an ordinary user's PATH on Debian. */
const FOLDERS = ['/usr/sbin', '/sbin', '/usr/bin', '/bin']

const OPTIONS = {
  env: { PATH: FOLDERS.join(':'), LC_ALL: 'C', E2FSPROGS_FAKE_TIME: '1700000000' },
  maxBuffer: 2 ** 28
}

/** Runs a program and gives what it says; throws unless it exits with 0. */
export async function tool(command: string, ...args: readonly string[]): Promise<string> {
  return (await run(command, args, OPTIONS)).stdout
}

export async function toolWithInput(input: string, command: string, ...args: readonly string[]): Promise<string> {
  const running = run(command, args, OPTIONS)
  running.child.stdin?.end(input)
  return (await running).stdout
}

/** Whether a text stands anywhere in the bytes of a file. */
export async function stands(text: string, path: string): Promise<boolean> {
  const count = await tool('grep', '-caF', text, path).catch((error: { code: number; stdout: string }) => {
    if (error.code !== 1) throw error
    return error.stdout
  })
  return Number(count) > 0
}

/** Which of some texts, none of them part of another, stand anywhere in the bytes of a file; in one pass. */
export async function standing(texts: readonly string[], path: string): Promise<string[]> {
  const patterns = texts.flatMap((text) => ['-e', text])
  const found = await tool('grep', '-aoF', ...patterns, path).catch((error: { code: number; stdout: string }) => {
    if (error.code !== 1) throw error
    return error.stdout
  })
  const lines = new Set(found.split('\n'))
  return texts.filter((text) => lines.has(text))
}

/** As `describe`. Without one of the programs the tests are skipped, and the run says at its end how many, and why. */
export function describeWithTools(commands: readonly string[], name: string, body: () => void): void {
  const missing = commands.filter((command) => !FOLDERS.some((folder) => existsSync(join(folder, command))))
  if (missing.length === 0) describe(name, body)
  else describe.skip(name, { meta: { skipReason: `${missing.join(', ')} is not installed` } }, body)
}
