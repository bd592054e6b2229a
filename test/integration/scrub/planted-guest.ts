import { randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { MiB } from '../../../src/domain/bytes.ts'
import { tool, toolWithInput } from '../../unit/scrub/tools.ts'

/** What a scrub has to take out, wherever it lies: contents and names. */
const secret = (what: string): string => `PLANTED-${what}-7f1c93d2`

/** Long enough that no file system puts it beside its metadata. */
const long = (what: string): string => `${secret(what)}\n`.repeat(400)

const GONE: Readonly<Record<string, string>> = {
  'etc/machine-id': '0badc0ffee0ddba115ca1ab1e5eed5ed\n',
  'etc/ssh/ssh_host_ed25519_key': `-----BEGIN OPENSSH PRIVATE KEY-----\n${secret('hostkey')}\n`,
  'etc/ssh/ssh_host_ed25519_key.pub': `ssh-ed25519 ${secret('hostkey-pub')} root@guest\n`,
  'root/.bash_history': `mysql -p${secret('history')}\n`,
  'home/someone/.psql_history': `alter user me password '${secret('psql')}';\n`,
  'var/log/syslog': long('syslog'),
  'var/log/old/messages.1': long('old-log'),
  'var/log/it\'s \\ "odd"\n$(touch here)/|x': secret('odd-name'),
  [`var/log/${secret('file-name')}.log.1`]: long('named'),
  'var/lib/cloud/instances/i-1/user-data.txt': `#cloud-config\npassword: ${secret('user-data')}\n`,
  'var/lib/systemd/random-seed': `${secret('seed')}`.repeat(10),
  'tmp/upload/dump.sql': long('dump'),
  swapfile: `${'\0'.repeat(4086)}SWAPSPACE2${long('swapped-out').repeat(20)}`
}

const KEPT: Readonly<Record<string, string | Buffer>> = {
  'etc/os-release': 'NAME="Planted"\nPRETTY_NAME="Planted Linux 1"\nID=planted\n',
  'etc/passwd': 'root:x:0:0:root:/root:/bin/bash\nsomeone:x:1000:1000::/home/someone:/bin/bash\n',
  'etc/hostname': 'guest\n',
  'srv/app.dat': 'KEPT-app-data\n',
  'srv/payload.bin': randomBytes(6 * MiB),
  'home/someone/notes.txt': 'KEPT-notes\n'.repeat(1000)
}

export type PlantedGuest = {
  /** None of them may stand in the bytes of an export. */
  readonly secrets: readonly string[]
  /** Files that have to come out as they are, by their path in the guest. */
  readonly kept: ReadonlyMap<string, Buffer>
}

/** Of the disk: which of its kernel's names it has is not known beforehand. */
const LABEL = 'planted'
export const FIRST_PARTITION = `/dev/disk/guestfs/${LABEL}1`

/** How a file system is made in the appliance, on /dev/sda, and where its root is then. */
export type Layout = {
  readonly commands: readonly string[]
  readonly root: string
  readonly fstab: string
  /** Where a secret lies that no file system knows of, and what is done afterwards. */
  readonly devices?: readonly (readonly [device: string, byte: number])[]
  readonly afterwards?: readonly string[]
  /** A device with a file system that is made on top of what somebody else has left there; by a name that the kernel knows too. */
  readonly usedBefore?: {
    readonly device: string
    readonly mebibytes: number
    /** Makes it, and erases nothing. */
    readonly make: (device: string) => string
  }
  /** A device with an ext4 from which a file is deleted as kernels do it no more. */
  readonly unlinks?: string
  /** What else is mounted, and where. */
  readonly mounts?: readonly (readonly [device: string, at: string])[]
  /** Of the disk; 420 when absent. */
  readonly mebibytes?: number
  /** What opens the disk before it can be mounted: commands, each key on a line of its own. */
  readonly opening?: readonly string[]
  /** A device that is read as a whole once the guest is there: to `before` in the folder. */
  readonly whole?: string
}

/** An ext4 for `usedBefore`. */
export const makeExt = (device: string, size = ''): string =>
  `mke2fs -q -F -t ext4 -E nodiscard,lazy_itable_init=1,lazy_journal_init=1 ${device} ${size}`

const shell = (command: string): string => `debug sh "'${command}'"`

const makeUsed = ({ device, mebibytes, make }: NonNullable<Layout['usedBefore']>): string[] => [
  shell(`yes ${secret('before')}-${'x'.repeat(100)} | dd of=${device} bs=1M count=${mebibytes} iflag=fullblock`),
  shell(make(device))
]

/** Names and links that are gone from folders that are still there, a large one and a small one. */
const PARTLY_DELETED: readonly string[] = [
  'mkdir-p /srv/many',
  'mkdir-p /srv/few',
  shell(`cd /sysroot/srv/many ; for i in $(seq 60) ; do touch kept-$i ${secret('among')}-$i ; done`),
  shell(`cd /sysroot/srv/few ; touch kept ${secret('of-few')}`),
  shell(`ln -s ${secret('target')} /sysroot/srv/few/link`),
  'sync',
  shell(`cd /sysroot/srv ; rm many/${secret('among')}-* few/${secret('of-few')} few/link`)
]

/** Blocks that files have and were never written, in one piece and between others. */
const NEVER_WRITTEN: readonly string[] = [
  'fallocate64 /srv/held 20000000',
  'fallocate64 /srv/pieces 4000000',
  shell(
    'for i in $(seq 0 2 600) ; do dd if=/dev/zero of=/sysroot/srv/pieces bs=4k count=1 seek=$i conv=notrunc status=none ; done'
  )
]

/**
 * A guest on a file system that its own kernel has written: with files that were there and are deleted, in blocks, folders
 * and the journal.
 */
export async function makePlantedGuest(path: string, folder: string, layout: Layout): Promise<PlantedGuest> {
  const tree = join(folder, 'tree')
  const files = { ...KEPT, ...GONE, 'etc/fstab': layout.fstab }
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(tree, name)), { recursive: true })
    await writeFile(join(tree, name), content)
  }
  const deleted = secret('deleted')
  await writeFile(join(folder, 'deleted'), long('deleted').repeat(40))
  const { devices = [], usedBefore, unlinks } = layout
  await writeFile(join(folder, 'device'), long('device'))
  await tool('tar', '-C', tree, '-cf', join(folder, 'tree.tar'), '.')
  await tool('truncate', '-s', `${layout.mebibytes ?? 420}M`, path)
  const commands = [
    `add-drive ${path} format:raw cachemode:unsafe label:${LABEL}`,
    'run',
    ...layout.commands,
    ...(usedBefore ? makeUsed(usedBefore) : []),
    ...devices.map(([device, byte]) => `upload-offset ${join(folder, 'device')} ${device} ${byte}`),
    ...(layout.afterwards ?? []),
    `mount ${layout.root} /`,
    ...(layout.mounts ?? []).flatMap(([device, at]) => [`mkdir-p ${at}`, `mount ${device} ${at}`]),
    `tar-in ${join(folder, 'tree.tar')} /`,
    'mkdir-p /srv/old',
    ...Array.from({ length: 12 }, (_, i) => `upload ${join(folder, 'deleted')} /srv/old/${deleted}-name-${i}`),
    'sync',
    ...Array.from({ length: 12 }, (_, i) => `rm /srv/old/${deleted}-name-${i}`),
    `write /srv/old/${secret('short')} ${secret('inline')}`,
    'sync',
    `rm /srv/old/${secret('short')}`,
    ...PARTLY_DELETED,
    ...(usedBefore ? NEVER_WRITTEN : []),
    ...(unlinks ? [`touch /srv/${secret('unlinked')}`] : []),
    'umount-all',
    ...(unlinks ? [shell(`debugfs -w -R \\"rm /srv/${secret('unlinked')}\\" ${unlinks}`)] : []),
    ...(layout.whole ? [`download ${layout.whole} ${join(folder, 'before')}`] : []),
    'shutdown'
  ]
  await guestfish(commands)
  const texts = [...Object.keys(GONE), ...Object.values(GONE)].flatMap(
    (text) => text.match(/PLANTED-[\w-]+?-7f1c93d2/g) ?? []
  )
  const secrets = [
    ...texts,
    ...devices.map(() => secret('device')),
    ...(usedBefore ? [secret('before')] : []),
    ...(unlinks ? [secret('unlinked')] : []),
    secret('among'),
    secret('of-few'),
    secret('target'),
    deleted,
    secret('short'),
    secret('inline'),
    '0badc0ffee0ddba115ca1ab1e5eed5ed'
  ]
  return {
    secrets: [...new Set(secrets)],
    kept: new Map(Object.entries(KEPT).map(([name, content]) => [`/${name}`, Buffer.from(content)]))
  }
}

const ENVIRONMENT = ['LIBGUESTFS_BACKEND=direct', 'LIBGUESTFS_BACKEND_SETTINGS=force_tcg', 'HOME=/tmp']

/** Runs commands in an appliance of its own; keys are lines behind the commands that ask for them. */
export const guestfish = (commands: readonly string[]): Promise<string> =>
  toolWithInput(`${commands.join('\n')}\n`, 'env', ...ENVIRONMENT, 'guestfish', '--keys-from-stdin')

/** Reads files of a guest's disk through the appliance, as another program would, and all of `whole` to `after`. */
async function filesOf(path: string, layout: Layout, names: readonly string[], folder: string) {
  const { root, opening = [], mounts = [], whole } = layout
  await guestfish([
    `add-drive ${path} format:raw readonly:true`,
    'run',
    ...opening,
    `mount-ro ${root} /`,
    ...mounts.map(([device, at]) => `mount-ro ${device} ${at}`),
    ...names.map((name, i) => `download ${name} ${join(folder, `read-${i}`)}`),
    ...(whole ? ['umount-all', `download ${whole} ${join(folder, 'after')}`] : [])
  ])
  return names.map((_, i) => join(folder, `read-${i}`))
}

/** Whether the files that were to stay are as they were. */
export async function areKept(path: string, layout: Layout, { kept }: PlantedGuest, folder: string) {
  const read = await filesOf(path, layout, [...kept.keys()], folder)
  const same = [...kept].map(async ([name, bytes], i) => (bytes.equals(await readFile(read[i] ?? '')) ? [] : [name]))
  return { changed: (await Promise.all(same)).flat() }
}
