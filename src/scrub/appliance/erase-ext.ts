import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Range } from '../../disks/disk.ts'
import { ByteRanges } from '../byte-ranges.ts'
import { AS_THEY_ARE, LOSES } from '../fast/check-file-system.ts'
import { settleJournal } from '../fast/journal.ts'
import { ext } from '../filesystems/ext/ext.ts'
import { readSuperblock } from '../filesystems/ext/superblock.ts'
import type { Unused } from '../filesystems/file-system.ts'
import { Refused } from '../refused.ts'
import { Volume } from '../volume.ts'
import { commandLine } from './command-line.ts'
import { deviceDisk } from './device-disk.ts'
import { eraseBehind } from './erase-behind.ts'
import type { Fish } from './fish.ts'
import { isPlain, type Mountable } from './mountable.ts'
import type { Session } from './session.ts'
import { inMemory, inShell, shell } from './shell.ts'

/** Packs all folders, so that the names of what was deleted are gone; the blocks that this frees are still to be erased. */
export async function packFolders(fish: Fish, { name }: Mountable): Promise<void> {
  const said = '/tmp/said'
  const check = await shell(fish, `e2fsck -fyD ${AS_THEY_ARE.join(' ')} ${inShell(name)} > ${said} 2>&1`)
  const loses = await shell(fish, `grep -Eiq "${LOSES.source}" ${said}`)
  if (Number(check.status || 8) > 1 || loses.status !== '1') {
    throw new Refused('not-sound', 'a file system of it is damaged')
  }
}

/**
 * Erases what an ext file system keeps for itself and never trims: its journal, and in a volume what `freeSpace` would find
 * in a partition, blocks that were allocated ahead and the remains of others.
 * @param trimmed whether all that is free was trimmed; where not it is erased here
 * @returns why the rest was not erased, null where it was
 * @throws Refused where what is free cannot be erased
 */
export async function eraseExt(
  session: Session,
  one: Mountable,
  trimmed: boolean,
  signal: AbortSignal
): Promise<string | null> {
  const device = await deviceDisk(session, one)
  const data = new ByteRanges(Float64Array.of(0), Float64Array.of(device.virtualSize))
  const volume = new Volume({ disk: device, data, signal }, 0, device.virtualSize)
  await settleJournal(device, volume)
  await device.flush()
  if (trimmed && isPlain(one)) return null
  const unused = await unusedOf(volume)
  if (unused instanceof Refused) {
    if (!trimmed) throw unused
    return `${unused.message} (${unused.rule})`
  }
  await device.erase([...((trimmed ? unused.unwritten : unused.ranges) ?? [])])
  await eraseBehind(session, device, unused.length)
  const { blockBytes } = await readSuperblock(volume)
  await device.flush()
  await zap(session, one, pieces(unused.remains, blockBytes))
  return null
}

const unusedOf = (volume: Volume): Promise<Unused | Refused> =>
  ext.unused(volume).catch((error: unknown) => {
    if (error instanceof Refused) return error
    throw error
  })

/** Commands for debugfs, of which there may be many thousands: each but a moment, where one of guestfish takes milliseconds. */
function* pieces(remains: Iterable<Range>, blockBytes: number): Generator<string> {
  for (const { offset, length } of remains) {
    for (let at = offset; at < offset + length; ) {
      const inBlock = at % blockBytes
      const bytes = Math.min(offset + length - at, blockBytes - inBlock)
      yield `zap_block -o ${inBlock} -l ${bytes} -p 0 ${Math.floor(at / blockBytes)}\n`
      at += bytes
    }
  }
}

async function zap({ fish, folder }: Session, { name }: Mountable, commands: Iterable<string>): Promise<void> {
  const content = join(folder, 'content')
  await writeFile(content, commands, { mode: 0o644 })
  const others = await inMemory(fish, async () => {
    await fish.ask(commandLine('upload', content, '/commands'))
    // It repeats every command, names itself, and is silent where all is well.
    return shell(fish, `debugfs -w -f /sysroot/commands ${inShell(name)} 2>&1 >/dev/null | grep -vc "^debugfs "`)
  })
  if (others.said.trim() !== '0') throw new Refused('not-erased', 'a file system of it could not be erased')
}
