import { createHash } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { GiB } from '../../../src/domain/bytes.ts'
import { appliance } from '../../../src/scrub/appliance/appliance.ts'
import { createOverlay } from '../../../src/scrub/create-overlay.ts'
import type { Edit } from '../../../src/scrub/guest-editor.ts'
import { scrubSteps } from '../../../src/scrub/registry.ts'
import { memoryDisk } from '../../support/memory-disk.ts'
import { family } from '../../support/process-family.ts'
import { diskAt, writeDisk } from '../../unit/scrub/guest-disk.ts'
import { describeWithTools, standing } from '../../unit/scrub/tools.ts'
import { filesOf, type Layout, makePlantedGuest } from './planted-guest.ts'

const MINUTE_MS = 60_000
const SETTINGS = { limitMs: 8 * MINUTE_MS, cache: '/var/tmp' }
const NEVER = new AbortController().signal
const PARTITIONS = ['part-init /dev/sda gpt', 'part-add /dev/sda p 2048 -4096']

const LAYOUTS: Readonly<Record<string, Layout>> = {
  xfs: {
    commands: [...PARTITIONS, 'mkfs xfs /dev/sda1 label:rootfs'],
    root: '/dev/sda1',
    fstab: 'LABEL=rootfs / xfs defaults 0 1\n'
  },
  'ext4 in a logical volume, beside swap and a volume that is gone': {
    commands: [
      ...PARTITIONS,
      'pvcreate /dev/sda1',
      'vgcreate vg /dev/sda1',
      'lvcreate root vg 360',
      'lvcreate swap vg 16',
      'lvcreate gone vg 16',
      'mkswap /dev/vg/swap label:swapped',
      'mkfs ext4 /dev/vg/root'
    ],
    devices: ['/dev/vg/swap', '/dev/vg/gone'],
    afterwards: ['lvremove /dev/vg/gone'],
    root: '/dev/vg/root',
    fstab: '/dev/mapper/vg-root / ext4 defaults 0 1\nLABEL=swapped none swap sw 0 0\n'
  }
}

describeWithTools(['guestfish', 'mkfs.xfs', 'setpriv'], 'a guest in the appliance', () => {
  it.each(Object.keys(LAYOUTS))(
    'that lives on %s leaves no planted byte, keeps its other files, and its source is not written',
    async (name) => {
      await using place = await scratch()
      const layout = LAYOUTS[name] as Layout
      const source = place.at('guest.raw')
      const { secrets, kept } = await makePlantedGuest(source, place.path, layout)
      const before = await sha256(source)
      const planted = await standing(secrets, source)

      await using overlay = await createOverlay(await diskAt(source), place.at('overlay'))
      const edited = await appliance(SETTINGS).edit(overlay, everyStep(place.path), NEVER)
      await writeDisk(overlay, place.at('scrubbed.raw'))

      expect(planted).toEqual(secrets)
      expect(await standing(secrets, place.at('scrubbed.raw'))).toEqual([])
      expect(edited.guest).toEqual({ kind: 'linux', name: 'Planted Linux 1' })
      expect(edited.steps.find(({ id }) => id === 'logs')).toMatchObject({ changed: true, files: 4 })
      expect(edited.tools).toEqual({ libguestfs: expect.stringMatching(/^\d+\.\d+/) })
      const read = await filesOf(place.at('scrubbed.raw'), layout.root, [...kept.keys()], place.path)
      const same = await Promise.all(
        [...kept.values()].map(async (bytes, i) => bytes.equals(await readFile(read[i] ?? '')))
      )
      expect(same).toEqual([...kept.values()].map(() => true))
      expect(await sha256(source)).toBe(before)
    },
    10 * MINUTE_MS
  )

  it(
    'is refused where there is no system on the disk',
    async () => {
      await using place = await scratch()
      await using overlay = await createOverlay(memoryDisk(GiB, []), place.at('overlay'))

      const edited = appliance(SETTINGS).edit(overlay, everyStep(place.path), NEVER)

      await expect(edited).rejects.toMatchObject({ name: 'Refused', rule: 'no-system' })
    },
    MINUTE_MS * 3
  )

  it(
    'is given up at the limit, with every process and file of it gone',
    async () => {
      await using place = await scratch()
      await using overlay = await createOverlay(memoryDisk(GiB, []), place.at('overlay'))
      const before = await applianceFolders()

      const edited = appliance({ ...SETTINGS, limitMs: 4000 }).edit(overlay, everyStep(place.path), NEVER)
      const refused = await edited.catch((error: unknown) => error)

      expect(refused).toMatchObject({ rule: 'too-slow' })
      expect(family(process.pid).filter(({ commandLine }) => /guestfish|qemu-system/.test(commandLine))).toEqual([])
      expect(await applianceFolders()).toEqual(before)
    },
    MINUTE_MS
  )

  it(
    'is let go when the export is called off, for the reason that was given',
    async () => {
      await using place = await scratch()
      await using overlay = await createOverlay(memoryDisk(GiB, []), place.at('overlay'))
      const calledOff = new AbortController()

      const edited = appliance(SETTINGS).edit(overlay, everyStep(place.path), calledOff.signal)
      calledOff.abort(new Error('called off'))

      await expect(edited).rejects.toThrow('called off')
    },
    MINUTE_MS
  )
})

const everyStep = (work: string): Edit => ({
  steps: scrubSteps().filter(({ generalizes }) => generalizes),
  settings: { providerPaths: [], firstBootScript: undefined },
  looks: [],
  work
})

const applianceFolders = async () => (await readdir(SETTINGS.cache)).filter((name) => name.startsWith('appliance-'))

const sha256 = async (path: string): Promise<string> =>
  createHash('sha256')
    .update(await readFile(path))
    .digest('hex')

async function scratch() {
  const path = await mkdtemp(join(tmpdir(), 'planted-'))
  return {
    path,
    at: (name: string) => join(path, name),
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, maxRetries: 3 })
  }
}
