import { chmod, readdir } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { GiB, MiB } from '../../../src/domain/bytes.ts'
import { ScrubApplianceFailed } from '../../../src/domain/scrub-errors.ts'
import { appliance } from '../../../src/scrub/appliance/appliance.ts'
import { createOverlay } from '../../../src/scrub/create-overlay.ts'
import type { GuestFiles } from '../../../src/scrub/guest.ts'
import { LEFT } from '../../../src/scrub/left.ts'
import { memoryDisk } from '../../support/memory-disk.ts'
import { family } from '../../support/process-family.ts'
import { diskAt, writeDisk } from '../../unit/scrub/guest-disk.ts'
import { describeWithTools, standing } from '../../unit/scrub/tools.ts'
import { everyStep, MINUTE_MS, NEVER, PARTITION, SETTINGS, scratch, sha256 } from './appliance-run.ts'
import { areKept, FIRST_PARTITION, type Layout, makeExt, makePlantedGuest } from './planted-guest.ts'

const LAYOUTS: Readonly<Record<string, Layout & { readonly left?: string }>> = {
  xfs: {
    commands: PARTITION,
    usedBefore: {
      device: FIRST_PARTITION,
      mebibytes: 410,
      make: (device) => `mkfs.xfs -q -f -K -L rootfs -d size=380m ${device}`
    },
    root: '/dev/sda1',
    // Disks that are not in the image: the provider's, with the number of the root's partition, and a volume.
    fstab: [
      'LABEL=rootfs / xfs defaults 0 1',
      '/dev/vdb1 /srv auto defaults,nofail,comment=cloudconfig 0 2',
      'UUID=0b1b9a3c-5d1c-4f0e-9a43-0d6f1c5b2e77 /data ext4 nofail 0 2',
      ''
    ].join('\n')
  },
  'xfs in a logical volume': {
    commands: [...PARTITION, 'pvcreate /dev/sda1', 'vgcreate vg /dev/sda1', 'lvcreate root vg 400'],
    usedBefore: {
      device: '/dev/vg/root',
      mebibytes: 400,
      make: (device) => `mkfs.xfs -q -f -K -d size=380m ${device}`
    },
    root: '/dev/vg/root',
    fstab: '/dev/mapper/vg-root / xfs defaults 0 1\n'
  },
  'btrfs, in two subvolumes': {
    commands: [
      ...PARTITION,
      'mkfs-btrfs /dev/sda1 bytecount:400000000',
      'mount /dev/sda1 /',
      'btrfs-subvolume-create /@',
      'btrfs-subvolume-create /@home',
      'btrfs-subvolume-create /@snapshots',
      'umount-all'
    ],
    devices: [['/dev/sda1', 420_000_000]],
    left: LEFT.subvolume,
    root: 'btrfsvol:/dev/sda1/@',
    mounts: [['btrfsvol:/dev/sda1/@home', '/home']],
    fstab: '/dev/sda1 / btrfs subvol=@ 0 1\n/dev/sda1 /home btrfs subvol=/@home 0 2\n'
  },
  'ext4 in a logical volume, beside swap and a volume that is gone': {
    commands: [
      ...PARTITION,
      'pvcreate /dev/sda1',
      'vgcreate vg /dev/sda1',
      'lvcreate root vg 360',
      'lvcreate swap vg 16',
      'lvcreate gone vg 16',
      'lvcreate spare vg 8',
      'mkswap /dev/vg/swap label:swapped',
      'mkfs ext4 /dev/vg/spare'
    ],
    usedBefore: { device: '/dev/vg/root', mebibytes: 360, make: (device) => makeExt(device, '350m') },
    unlinks: '/dev/vg/root',
    left: LEFT.volume,
    devices: [
      ['/dev/vg/swap', MiB],
      ['/dev/vg/gone', MiB]
    ],
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
      const layout = LAYOUTS[name] as (typeof LAYOUTS)[string]
      const source = place.at('guest.raw')
      const guest = await makePlantedGuest(source, place.path, layout)
      const { secrets } = guest
      const before = await sha256(source)
      const planted = await standing(secrets, source)

      await using overlay = await createOverlay(await diskAt(source), place.at('overlay'))
      const edited = await appliance(SETTINGS).edit(overlay, everyStep(place.path), NEVER)
      await writeDisk(overlay, place.at('scrubbed.raw'))

      expect(planted).toEqual(secrets)
      expect(await standing(secrets, place.at('scrubbed.raw'))).toEqual([])
      expect(edited.guest).toEqual({ kind: 'linux', name: 'Planted Linux 1' })
      expect(edited.steps.find(({ id }) => id === 'logs')).toMatchObject({ changed: true, files: 4 })
      expect([...(edited.left ?? [])]).toEqual(layout.left ? [[MiB, layout.left]] : [])
      expect([...(edited.erased?.values() ?? [])].filter(Boolean)).toEqual([])
      expect(edited.tools).toEqual({ libguestfs: expect.stringMatching(/^\d+\.\d+/), accelerator: 'tcg' })
      expect(await areKept(place.at('scrubbed.raw'), layout, guest, place.path)).toEqual({ changed: [] })
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
    'is refused where a file system of it may be what its fstab names, and is not known by that name',
    async () => {
      await using place = await scratch()
      const source = place.at('guest.raw')
      const commands = ['part-init /dev/sda gpt', 'part-add /dev/sda p 2048 900000', 'part-add /dev/sda p 900096 -4096']
      await makePlantedGuest(source, place.path, {
        commands: [...commands, 'mkfs xfs /dev/sda1', 'mkfs ext4 /dev/sda2', 'part-set-name /dev/sda 2 home'],
        mebibytes: 500,
        root: '/dev/sda1',
        fstab: '/dev/sda1 / xfs defaults 0 1\nPARTLABEL=home /home ext4 noauto,x-systemd.automount 0 2\n'
      })
      await using overlay = await createOverlay(await diskAt(source), place.at('overlay'))

      const edited = appliance(SETTINGS).edit(overlay, everyStep(place.path), NEVER)

      await expect(edited).rejects.toMatchObject({ name: 'Refused', rule: 'not-found' })
    },
    MINUTE_MS * 5
  )

  it(
    "that has not even started at the limit is the operator's to mend, with every process and file of it gone",
    async () => {
      await using place = await scratch()
      await using overlay = await createOverlay(memoryDisk(GiB, []), place.at('overlay'))
      await chmod(place.path, 0o777)

      const edited = appliance({ ...SETTINGS, cache: place.path, limitMs: 4000 }).edit(
        overlay,
        everyStep(place.path),
        NEVER
      )
      const refused = await edited.catch((error: unknown) => error)

      expect(refused).toBeInstanceOf(ScrubApplianceFailed)
      expect(family(process.pid).filter(({ commandLine }) => /guestfish|qemu-system/.test(commandLine))).toEqual([])
      expect((await readdir(place.path)).filter((name) => name.startsWith('appliance-'))).toEqual([])
    },
    MINUTE_MS
  )

  it(
    "that is not through at the limit is refused for the guest's sake, with every process and file of it gone",
    async () => {
      await using place = await scratch()
      await chmod(place.path, 0o777)
      const layout = {
        commands: [...PARTITION, 'mkfs ext4 /dev/sda1'],
        mebibytes: 100,
        root: '/dev/sda1',
        fstab: '#\n'
      }
      const source = place.at('guest.raw')
      await makePlantedGuest(source, place.path, layout)
      await using overlay = await createOverlay(await diskAt(source), place.at('overlay'))
      let looks = 0
      const endless = async (files: GuestFiles) => {
        for (; ; await sleep(500)) if (await files.stat('/etc')) looks += 1
      }

      const edited = appliance({ ...SETTINGS, cache: place.path, limitMs: MINUTE_MS }).edit(
        overlay,
        { ...everyStep(place.path), steps: [], looks: [endless] },
        NEVER
      )

      await expect(edited).rejects.toMatchObject({ name: 'Refused', rule: 'too-slow' })
      expect(looks).toBeGreaterThan(0)
      expect(family(process.pid).filter(({ commandLine }) => /guestfish|qemu-system/.test(commandLine))).toEqual([])
      expect((await readdir(place.path)).filter((name) => name.startsWith('appliance-'))).toEqual([])
    },
    MINUTE_MS * 4
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
