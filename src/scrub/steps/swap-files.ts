import { MiB } from '../../domain/bytes.ts'
import { hibernated, SWAP_HEAD_BYTES, swapMark } from '../filesystems/swap.ts'
import { fstabLines } from '../fstab.ts'
import type { GuestFiles } from '../guest.ts'
import { matching } from '../matching.ts'
import type { ScrubStep } from '../scrub-step.ts'

const USUAL = ['/swap*', '/swap/*', '/var/swap*', '/var/swap/*', '/var/lib/swap*', '/mnt/swap*']

/** Partitions and volumes of swap become zeros without a step. The first page of a file stays, as of those. */
export const swapFiles: ScrubStep = {
  id: 'swap-files',
  about: 'memory that has gone into files of swap',
  generalizes: true,

  async *changes(files) {
    for (const path of await paths(files)) {
      const found = swapMark((await files.head(path, SWAP_HEAD_BYTES)) ?? Buffer.alloc(0))
      if (found?.suspended) throw hibernated()
      if (found) yield { kind: 'blank', path, from: found.pageBytes }
    }
  }
}

async function paths(files: GuestFiles): Promise<ReadonlySet<string>> {
  const fstab = (await files.read('/etc/fstab', MiB))?.toString('latin1') ?? ''
  const named = fstabLines(fstab).filter(({ what, types }) => what.startsWith('/') && types.includes('swap'))
  const found = new Set(named.map(({ what }) => what))
  for (const pattern of USUAL)
    for await (const { kind, path } of matching(files, pattern)) if (kind === 'file') found.add(path)
  return found
}
