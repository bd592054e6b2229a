import { access, mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { openLocalFile } from '../../src/disks/local-file.ts'
import { raw } from '../../src/disks/raw.ts'
import { TiB } from '../../src/domain/bytes.ts'
import { appliance } from '../../src/scrub/appliance/appliance.ts'
import { createOverlay } from '../../src/scrub/create-overlay.ts'
import { fileSystems } from '../../src/scrub/filesystems/registry.ts'
import { freeSpace } from '../../src/scrub/free-space.ts'
import { scrubSteps } from '../../src/scrub/registry.ts'
import { ZeroedDisk } from '../../src/scrub/zeroed-disk.ts'
import type { DebianGuest } from '../../test/support/debian-guest.ts'
import { writeDisk } from '../../test/unit/scrub/guest-disk.ts'
import { standing } from '../../test/unit/scrub/tools.ts'

export type ApplianceTime = { readonly seconds: number; readonly left: number }

/** The same guest through the appliance alone; undefined where libguestfs is not installed. */
export async function timeAppliance(guest: DebianGuest, folder: string): Promise<ApplianceTime | undefined> {
  const there = await access('/usr/bin/guestfish').then(
    () => true,
    () => false
  )
  if (!there) return undefined
  const work = join(folder, 'appliance')
  await mkdir(work)
  try {
    const disk = await raw.open(await openLocalFile(guest.path), { maxVirtualSize: TiB })
    await using overlay = await createOverlay(disk, join(work, 'overlay'))
    const steps = scrubSteps().filter(({ generalizes }) => generalizes)
    const settings = { providerPaths: [], firstBootScript: undefined }
    const never = new AbortController().signal
    const began = performance.now()
    const gaps = { gaps: 'zero', bootGap: 'keep' } as const
    const edit = { steps, settings, looks: [], gaps, work }
    await appliance({ limitMs: 900_000, cache: '/var/tmp' }).edit(overlay, edit, never)
    const { extents, remains } = await freeSpace(overlay, gaps, fileSystems(), never)
    const seconds = (performance.now() - began) / 1000
    const scrubbed = join(work, 'scrubbed.raw')
    await writeDisk(new ZeroedDisk(overlay, extents, remains), scrubbed)
    return { seconds, left: (await standing(guest.secrets, scrubbed)).length }
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}
