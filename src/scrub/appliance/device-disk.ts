import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Disk } from '../../disks/disk.ts'
import { MiB } from '../../domain/bytes.ts'
import type { Served } from '../nbd/transmission.ts'
import { commandLine } from './command-line.ts'
import type { Fish } from './fish.ts'
import type { Session } from './session.ts'
import { inShell, shell } from './shell.ts'

const CHUNK_BYTES = MiB
/** A disk without content that is attached behind the guest's: a command cannot hold zeros. */
const ZEROS = '/dev/sdb'
const ZEROS_BYTES = 64 * MiB

/** Before the appliance starts. */
export const attachZeros = (fish: Fish): Promise<unknown> =>
  fish.ask(commandLine('add-drive-scratch', String(ZEROS_BYTES)))

type DeviceDisk = Disk &
  Served & {
    /** Takes away what is there; it reads as zeros then, or below an encryption as noise. */
    erase(offset: number, length: number): Promise<void>
  }

/** A device of the appliance, such as a logical volume, as a disk for the readers here. Nothing of it may be mounted. */
export async function deviceDisk({ fish, server, folder }: Session, device: string): Promise<DeviceDisk> {
  const virtualSize = Number(await fish.text(commandLine('blockdev-getsize64', device)))
  const zero: Served['zero'] = async (offset, length) => {
    for (let at = 0; at < length; at += ZEROS_BYTES) {
      const where = [`destoffset:${offset + at}`, `size:${Math.min(ZEROS_BYTES, length - at)}`]
      await fish.ask(commandLine('copy-device-to-device', ZEROS, device, ...where))
    }
  }
  return {
    virtualSize,
    zero,

    async *extents() {
      yield { offset: 0, length: virtualSize, data: true }
    },

    async [Symbol.asyncDispose]() {},

    async read(target, offset) {
      for (let at = 0; at < target.length; at += CHUNK_BYTES) {
        const bytes = Math.min(CHUNK_BYTES, target.length - at)
        const read = await fish.ask(commandLine('pread-device', device, String(bytes), String(offset + at)))
        if (read.length !== bytes) throw new RangeError(`read of ${bytes} bytes at ${offset + at} of a device`)
        target.set(read, at)
      }
    },

    async write(bytes, offset) {
      const content = join(folder, 'content')
      await writeFile(content, bytes, { mode: 0o644 })
      await fish.ask(commandLine('upload-offset', content, device, String(offset)))
      await rm(content)
    },

    async erase(offset, length) {
      const before = server.trimmedBytes
      await shell(fish, `blkdiscard --offset ${offset} --length ${length} ${inShell(device)}`)
      if (server.trimmedBytes - before < length) await zero(offset, length)
    }
  }
}
