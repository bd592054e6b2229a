import { rename, writeFile } from 'node:fs/promises'

/** Puts the wall clock of the process that reads this file off by so many seconds, in one step. */
export async function setClock(file: string, seconds: number): Promise<void> {
  await writeFile(`${file}.new`, `${seconds >= 0 ? '+' : ''}${seconds}s\n`)
  await rename(`${file}.new`, file)
}
