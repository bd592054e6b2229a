import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Disk, Range } from '../../disks/disk.ts'
import { MiB } from '../../domain/bytes.ts'
import type { Served } from '../nbd/transmission.ts'
import { Refused } from '../refused.ts'
import { commandLine } from './command-line.ts'
import type { Fish } from './fish.ts'
import { isPlain, type Mountable } from './mountable.ts'
import { Pages } from './pages.ts'
import type { Session } from './session.ts'
import { inShell, shell } from './shell.ts'

/** In which kernels count, whatever the disk's own are. */
const SECTOR_BYTES = 512
/** A disk without content that is attached behind the guest's: a command cannot hold zeros. */
const ZEROS = '/dev/sdb'
const ZEROS_BYTES = 64 * MiB

/** Before the appliance starts. */
export const attachZeros = (fish: Fish): Promise<unknown> =>
  fish.ask(commandLine('add-drive-scratch', String(ZEROS_BYTES)))

export type DeviceDisk = Disk &
  Served & {
    /** Takes away what is there; it reads as zeros then, or below an encryption as noise. */
    erase(ranges: readonly Range[]): Promise<void>
    /** What was written before is there for others too. */
    flush(): Promise<void>
  }

/** A device of the appliance as a disk for the readers here. Nothing of it may be mounted, nor used before they are through. */
export async function deviceDisk(session: Session, device: Mountable): Promise<DeviceDisk> {
  const { name } = device
  const virtualSize = Number(await session.fish.text(commandLine('blockdev-getsize64', name)))
  return {
    ...(isPlain(device) ? await besideAppliance(session, name) : throughAppliance(session, name, virtualSize)),
    virtualSize,

    async *extents() {
      yield { offset: 0, length: virtualSize, data: true }
    },

    async [Symbol.asyncDispose]() {}
  }
}

type Access = Pick<DeviceDisk, 'read' | 'write' | 'zero' | 'erase' | 'flush'>

/** The disk and its partitions are here too, thousands of times as near. */
async function besideAppliance({ fish, server: { disk } }: Session, device: string): Promise<Access> {
  const start = await startOf(fish, device)
  // The appliance writes what it still has, and reads anew when it comes back.
  await fish.ask(commandLine('blockdev-flushbufs', device))
  const zero: Access['zero'] = (offset, length) => disk.zero(start + offset, length)
  return {
    read: (target, offset) => disk.read(target, start + offset),
    write: (bytes, offset) => disk.write(bytes, start + offset),
    zero,
    async erase(ranges) {
      for (const { offset, length } of ranges) await zero(offset, length)
    },
    async flush() {}
  }
}

/** The byte where a partition begins, as the kernel that has used it tells; 0 of the disk. */
async function startOf(fish: Fish, device: string): Promise<number> {
  if (!/\d$/.test(device)) return 0
  const { said } = await shell(fish, `cat /sys/class/block/$(basename $(readlink -f ${inShell(device)}))/start`)
  if (!/^\d+\s*$/.test(said)) throw new Refused('partition', 'where a partition begins is not known')
  return Number(said) * SECTOR_BYTES
}

/** What the appliance makes of the disk, such as a logical volume. */
function throughAppliance({ fish, server, folder }: Session, device: string, bytes: number): Access {
  const content = join(folder, 'content')
  const fill = async ({ offset, length }: Range) => {
    for (let at = 0; at < length; at += ZEROS_BYTES) {
      const where = [`destoffset:${offset + at}`, `size:${Math.min(ZEROS_BYTES, length - at)}`]
      await fish.ask(commandLine('copy-device-to-device', ZEROS, device, ...where))
    }
  }
  const discard = async (ranges: readonly Range[]) => {
    const before = server.trimmedBytes
    for (const { offset, length } of ranges) {
      await shell(fish, `blkdiscard --offset ${offset} --length ${length} ${inShell(device)}`)
    }
    return server.trimmedBytes - before >= ranges.reduce((sum, { length }) => sum + length, 0)
  }
  const pages = new Pages(
    {
      async load(offset, length) {
        const read = await fish.ask(commandLine('pread-device', device, String(length), String(offset)))
        if (read.length !== length) throw new RangeError(`read of ${length} bytes at ${offset} of a device`)
        return Buffer.from(read)
      },
      async store(page, offset) {
        await writeFile(content, page, { mode: 0o644 })
        await fish.ask(commandLine('upload-offset', content, device, String(offset)))
        await rm(content)
      }
    },
    bytes
  )
  return {
    read: (target, offset) => pages.read(target, offset),
    write: (from, offset) => pages.write(from, offset),
    zero: async (offset, length) => fill(await pages.zeroEdges({ offset, length })),
    async erase(ranges) {
      const whole: Range[] = []
      for (const range of ranges) whole.push(await pages.zeroEdges(range))
      const large = whole.filter(({ length }) => length > 0)
      if (!(await discard(large))) for (const range of large) await fill(range)
    },
    flush: () => pages.flush()
  }
}
