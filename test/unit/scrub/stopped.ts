import { copyFile, readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import type { Workshop } from '../disks/workshop.ts'
import { debugfs } from './ext-maker.ts'

export const BLOCK = 1024

/** Blocks in which two file systems differ. */
export function differing(one: Buffer, other: Buffer): number[] {
  const blocks: number[] = []
  for (let at = 0; at < one.length; at += BLOCK) {
    if (!one.subarray(at, at + BLOCK).equals(other.subarray(at, at + BLOCK))) blocks.push(at / BLOCK)
  }
  return blocks
}

/**
 * Makes changes to a file system that then stand in its journal only, as a guest leaves it that was stopped: each list of
 * commands is one transaction.
 * @param open how debugfs opens the journal
 */
export async function stop(
  workshop: Workshop,
  path: string,
  transactions: readonly (readonly string[])[],
  open = 'jo'
): Promise<string> {
  const changed = `${path}-changed`
  await copyFile(path, changed)
  const script: string[] = [open]
  for (const [i, commands] of transactions.entries()) {
    const before = await readFile(changed)
    await debugfs(workshop, changed, commands)
    const after = await readFile(changed)
    const blocks = differing(before, after).filter((block) => block !== 1)
    const content = Buffer.concat(blocks.map((block) => after.subarray(block * BLOCK, (block + 1) * BLOCK)))
    script.push(`jw -b ${blocks.join(',')} ${await workshop.write(`${basename(path)}-transaction-${i}`, content)}`)
  }
  await debugfs(workshop, path, [...script, 'jc'])
  return path
}
