import { link, mkdir, mkdtemp, open, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { MiB } from '../../../src/domain/bytes.ts'
import { openJail } from '../../../src/jail/open-jail.ts'
import { createOverlay } from '../../../src/scrub/create-overlay.ts'
import { fastEditor } from '../../../src/scrub/fast/fast.ts'
import type { GuestChange, GuestFiles } from '../../../src/scrub/guest.ts'
import type { Edited, Look } from '../../../src/scrub/guest-editor.ts'
import type { ScrubStep } from '../../../src/scrub/scrub-step.ts'
import { ZeroedDisk } from '../../../src/scrub/zeroed-disk.ts'
import { gptAround } from '../../support/gpt.ts'
import { mixedDisk, type Workshop } from '../disks/workshop.ts'
import { diskAt, KEEP_GAPS, search } from './guest-disk.ts'
import { tool } from './tools.ts'

/** Where the partition of a guest begins. */
export const PARTITION_AT = MiB
const CHUNK_BYTES = 4 * MiB
const KEPT = mixedDisk(3 * MiB, 5)

/** Files of a small Linux system. What must go holds `SECRET-` and a word, in its content or its name. */
export async function linuxTree(folder: string): Promise<string> {
  const put = async (path: string, content: string | Buffer) => {
    await mkdir(dirname(join(folder, path)), { recursive: true })
    await writeFile(join(folder, path), content)
  }
  await put('etc/os-release', 'PRETTY_NAME="Small Linux 1 (test)"\nID=small\n')
  await put('etc/fstab', 'UUID=6a0c5f1b-9f4e-4d52-9a43-0d1a5c1e2b04 / ext4 errors=remount-ro 0 1\n')
  await put('etc/machine-id', 'SECRET-machine-id\n')
  await put('etc/shadow', 'root:SECRET-hash:19000:0:99999:7:::\ndaemon:*:19000:0:99999:7:::\n')
  await put('etc/hostname', 'kept-host\n')
  await put('root/.bash_history', 'mysql -p SECRET-history\n'.repeat(2000))
  await put('root/.ssh/id_ed25519', 'SECRET-key')
  await put('root/deleted', 'SECRET-deleted '.repeat(20_000))
  await put('home/user/.aws/credentials', 'SECRET-cloud')
  await put('home/user/notes', 'kept notes')
  for (let i = 0; i < 300; i += 1) await put(`var/log/journal/SECRET-name-${i}.log`, `SECRET-log ${i}\n`.repeat(50))
  await put('var/log/syslog', 'SECRET-syslog\n'.repeat(30_000))
  for (let i = 0; i < 1500; i += 1) await put(`usr/share/many/file-${i}`, `kept ${i}`)
  await put('usr/lib/large', KEPT)
  await put('swapfile', `${'\0'.repeat(4086)}SWAPSPACE2${'SECRET-swapped '.repeat(20_000)}`)
  await put('srv/once', 'SECRET-twice')
  await mkdir(join(folder, 'var/log/links'))
  await link(join(folder, 'srv/once'), join(folder, 'var/log/links/SECRET-second-name'))
  await symlink('/etc/shadow', join(folder, 'var/log/links/out'))
  await symlink(`/srv/SECRET-target-${'x'.repeat(30)}`, join(folder, 'var/log/links/short'))
  await symlink(`/srv/${'SECRET-long-target/'.repeat(20)}`, join(folder, 'var/log/links/long'))
  await symlink('loop', join(folder, 'var/log/links/loop'))
  await symlink('../../../../../etc', join(folder, 'var/log/links/up'))
  await symlink('hostname', join(folder, 'etc/linked'))
  await mkdir(join(folder, 'lost+found'), { mode: 0o700 })
  return folder
}

/** Makes a disk with a GPT and one ext file system with the files of a folder; one of them is deleted, not erased. */
export async function makeGuest(
  workshop: Workshop,
  name: string,
  mib: number,
  tree: string,
  options: readonly string[]
) {
  const path = workshop.path(name)
  const file = await open(path, 'w')
  const sectors = (mib + 2) * 2048
  const { primary, backup } = gptAround(sectors, PARTITION_AT / 512, mib * 2048)
  await file.write(primary, 0, primary.length, 0)
  await file.write(backup, 0, backup.length, sectors * 512 - backup.length)
  await file.close()
  const size = `${mib}M`
  const extended = ['-E', `offset=${PARTITION_AT},hash_seed=6a0c5f1b-9f4e-4d52-9a43-0d1a5c1e2b04`]
  const uuid = ['-U', '6a0c5f1b-9f4e-4d52-9a43-0d1a5c1e2b04']
  await tool('mke2fs', '-q', '-F', '-d', tree, ...uuid, ...extended, ...options, path, size)
  await tool('debugfs', '-w', '-R', 'rm /root/deleted', offsetOf(path))
  return path
}

/** As makeGuest, without a partition table. */
export async function makeBareGuest(
  workshop: Workshop,
  name: string,
  mib: number,
  tree: string,
  options: readonly string[]
) {
  const path = workshop.path(name)
  await tool('mke2fs', '-q', '-F', '-d', tree, ...options, path, `${mib}M`)
  await tool('debugfs', '-w', '-R', 'rm /root/deleted', path)
  return path
}

/** How e2fsprogs are told of the partition in a disk. */
export const offsetOf = (path: string): string => `${path}?offset=${PARTITION_AT}`

export const step = (id: string, changes: (files: GuestFiles) => AsyncIterable<GuestChange>): ScrubStep => ({
  id,
  about: id,
  generalizes: true,
  changes
})

/** A step that wants these changes, whatever it sees. */
export const wanting = (...changes: readonly GuestChange[]): ScrubStep =>
  step('wanting', async function* () {
    yield* changes
  })

export const remove = (path: string): GuestChange => ({ kind: 'remove', path })
export const empty = (path: string): GuestChange => ({ kind: 'empty', path })
export const write = (path: string, text: string, mode = 0o644): GuestChange => ({
  kind: 'write',
  path,
  bytes: Buffer.from(text),
  mode
})

/** Steps that rid a guest of all that `linuxTree` has put into it. */
export const CLEANING: readonly ScrubStep[] = [
  step('logs', async function* (files) {
    for (const { name } of await files.list('/var/log')) yield remove(`/var/log/${name}`)
  }),
  step('identity', async function* (files) {
    yield empty('/etc/machine-id')
    const shadow = await files.read('/etc/shadow', 65536)
    if (shadow) yield write('/etc/shadow', shadow.toString('latin1').replace(/^root:[^:]*/, 'root:!'))
    yield write('/etc/first-boot', '#!/bin/sh\necho hello\n', 0o755)
  }),
  step('users', async function* () {
    yield remove('/root/.bash_history')
    yield empty('/root/.ssh')
    yield remove('/home/user/.aws')
    yield remove('/srv/once')
    yield remove('/not/there')
    yield { kind: 'blank', path: '/swapfile', from: 4096 }
  })
]

export type Scrubbed = Edited & { readonly digest: string; readonly overlayBytes: number; readonly freedBytes: number }

/** Edits a guest and writes what would be exported to a file, as a scrub does. */
export async function scrubGuest(
  path: string,
  scrubbed: string,
  steps: readonly ScrubStep[] = CLEANING,
  looks: readonly Look[] = []
): Promise<Scrubbed> {
  const signal = AbortSignal.timeout(300_000)
  const work = await mkdtemp(join(tmpdir(), 'scrub-'))
  try {
    await using overlay = await createOverlay(await diskAt(path), join(work, 'overlay'))
    const settings = { providerPaths: [], firstBootScript: undefined }
    const editor = fastEditor(await openJail('strict'))
    const edited = await editor.edit(overlay, { steps, settings, looks, gaps: KEEP_GAPS, work }, signal)
    const { extents, remains, report } = await search(overlay)
    for (const partition of report.partitions) if (!partition.trusted) throw new Error(partition.why)
    const disk = new ZeroedDisk(overlay, extents, remains)
    await using target = await open(scrubbed, 'w')
    await target.truncate(disk.virtualSize)
    for await (const { offset, length, data } of disk.extents()) {
      for (let at = offset; data && at < offset + length; at += CHUNK_BYTES) {
        const chunk = Buffer.alloc(Math.min(CHUNK_BYTES, offset + length - at))
        await disk.read(chunk, at)
        await target.write(chunk, 0, chunk.length, at)
      }
    }
    return {
      ...edited,
      digest: await overlay.digest(signal),
      overlayBytes: overlay.storedBytes,
      freedBytes: extents.bytes
    }
  } finally {
    await rm(work, { recursive: true })
  }
}

/** Each secret that stands anywhere in the bytes of a file. */
export async function secretsIn(path: string): Promise<string[]> {
  const found = await tool('grep', '-aohE', 'SECRET-[a-z]+', path).catch((error: { code: number; stdout: string }) => {
    if (error.code !== 1) throw error
    return error.stdout
  })
  return [...new Set(found.split('\n').filter(Boolean))].sort()
}
