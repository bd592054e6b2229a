import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { appendFile, copyFile, mkdir, open, readdir, rename, rm, truncate, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { MiB } from '../../src/domain/bytes.ts'

const run = promisify(execFile)
const OPTIONS = { env: { PATH: '/usr/sbin:/sbin:/usr/bin:/bin', LC_ALL: 'C' }, maxBuffer: 2 ** 28 }
const tool = (command: string, ...args: readonly string[]) => run(command, args, OPTIONS)

const START = 2 * MiB
const BLOCK = 4096
const PACKAGES = [
  ...['systemd-sysv', 'udev', 'dbus', 'openssh-server', 'cloud-init', 'sudo', 'cron', 'ifupdown', 'isc-dhcp-client'],
  ...['ca-certificates', 'linux-image-cloud-amd64', 'initramfs-tools']
]

/** A Debian that was lived in: GPT, one ext4, its own kernel. */
export type DebianGuest = {
  /** Raw and sparse. */
  readonly path: string
  readonly offset: number
  readonly kernel: string
  readonly initrd: string
  /** Each stands somewhere in the bytes, and has to be gone after a scrub with the profile `generalize`. */
  readonly secrets: readonly string[]
  /** These stay with that profile: keys of users, and password hashes. */
  readonly kept: readonly string[]
}

const secret = (what: string): string => `PLANTED-${what}-5b3e`
const lines = (what: string): string => `Jan  1 00:00:00 vm-17 x[1]: ${secret(what)}\n`.repeat(400)

const FILES: Readonly<Record<string, string>> = {
  'etc/machine-id': '5ca1ab1e0ddba11dec0de5ca1ab1e0dd\n',
  'var/lib/dbus/machine-id': '5ca1ab1e0ddba11dec0de5ca1ab1e0dd\n',
  'root/.bash_history': `mysql -p${secret('history-root')}\n`,
  'home/debian/.bash_history': `curl -u me:${secret('history-user')} x\n`,
  'root/.psql_history': `select '${secret('psql')}';\n`,
  'root/.lesshst': `"${secret('less')}"\n`,
  'root/.viminfo': `:${secret('vim')}\n`,
  'home/debian/.python_history': `${secret('python')}\n`,
  'root/.aws/credentials': `[default]\naws_secret_access_key = ${secret('aws')}\n`,
  'var/log/syslog': lines('syslog'),
  'var/log/syslog.1': lines('syslog-1'),
  'var/log/auth.log': lines('auth'),
  'var/log/apt/history.log': lines('apt'),
  'var/log/cloud-init-output.log': lines('cloud-init-log'),
  [`var/log/journal/5ca1ab1e0ddba11dec0de5ca1ab1e0dd/${secret('journal-name')}.journal`]: lines('journal'),
  'var/lib/cloud/instances/i-1/user-data.txt': `#cloud-config\npassword: ${secret('user-data')}\n`,
  'var/lib/cloud/data/instance-id': `${secret('instance')}\n`,
  'etc/udev/rules.d/70-persistent-net.rules': `# ${secret('persistent-net')}\n`,
  'var/lib/dhcp/dhclient.eth0.leases': `lease { option host-name "${secret('lease')}"; }\n`,
  'var/lib/systemd/random-seed': secret('seed').repeat(20),
  'var/spool/cron/crontabs/root': `* * * * * curl -H 'X: ${secret('crontab')}' x\n`,
  'var/mail/root': `From root: ${secret('mail')}\n`,
  'var/cache/apt/archives/x.deb': lines('package'),
  'var/crash/x.crash': lines('crash'),
  'tmp/session': `${secret('tmp')}\n`,
  'var/tmp/x': `${secret('var-tmp')}\n`
}

const KEPT: Readonly<Record<string, string>> = {
  'root/.ssh/id_ed25519': `-----BEGIN OPENSSH PRIVATE KEY-----\n${secret('user-key')}\n`,
  'etc/shadow-': `root:${secret('hash')}:19000:0:99999:7:::\n`
}
/** Not whole blocks: behind its end stands what was there before it. */
const PAYLOAD = 'srv/payload.bin'
const PAYLOAD_BYTES = 8 * MiB + 100

/**
 * Makes the guest in a folder, as root: a minute or two. Without loop devices, and nothing is mounted.
 * @param sources what apt takes packages from: a file of its format
 */
export async function makeDebianGuest(folder: string, sizeMiB: number, sources: string): Promise<DebianGuest> {
  const root = join(folder, 'root')
  const path = join(folder, 'debian.raw')
  await mkdir(folder, { recursive: true })
  const wanted = ['--mode=root', '--variant=minbase', '--quiet', `--include=${PACKAGES.join(',')}`]
  await tool('mmdebstrap', ...wanted, '--aptopt=Apt::Install-Recommends "false"', 'bookworm', root, sources)
  for (const [name, content] of Object.entries({ ...FILES, ...KEPT })) await put(join(root, name), content)
  const keys = await hostKeys(join(root, 'etc/ssh'))
  await put(join(root, 'root/deleted'), lines('deleted').repeat(50))
  await put(join(root, PAYLOAD), randomBytes(PAYLOAD_BYTES))
  await put(join(root, 'etc/fstab'), 'LABEL=rootfs / ext4 errors=remount-ro 0 1\n')
  await appendFile(join(root, 'etc/hostname'), '')
  const boot = await readdir(join(root, 'boot'))
  const kernel = join(folder, 'vmlinuz')
  const initrd = join(folder, 'initrd')
  await copyFile(join(root, 'boot', boot.find((name) => name.startsWith('vmlinuz')) ?? ''), kernel)
  await copyFile(join(root, 'boot', boot.find((name) => name.startsWith('initrd')) ?? ''), initrd)

  const half = `${path}.half`
  await rm(half, { force: true })
  await writeFile(half, '')
  await truncate(half, sizeMiB * MiB)
  await tool('sgdisk', '-o', '-n', `1:${START / 512}:0`, '-t', '1:8300', half)
  const blocks = Math.floor((sizeMiB * MiB - START - MiB) / BLOCK)
  const options = ['-q', '-F', '-t', 'ext4', '-b', String(BLOCK), '-L', 'rootfs', '-d', root]
  await tool('mke2fs', ...options, '-E', `offset=${START},lazy_itable_init=0`, half, String(blocks))
  await tool('debugfs', '-w', '-R', 'rm /root/deleted', `${half}?offset=${START}`)
  await plantBehind(PAYLOAD, half)
  await rename(half, path)
  await rm(root, { recursive: true })
  const texts = [...Object.keys(FILES), ...Object.values(FILES)].flatMap(
    (text) => text.match(/PLANTED-[\w-]+?-5b3e/g) ?? []
  )
  const more = [secret('deleted'), secret('slack'), '5ca1ab1e0ddba11dec0de5ca1ab1e0dd', ...keys]
  const kept = [secret('user-key'), secret('hash')]
  return { path, offset: START, kernel, initrd, secrets: [...new Set([...texts, ...more])], kept }
}

/** Writes into the last block of a file, behind its end. */
async function plantBehind(name: string, disk: string): Promise<void> {
  const { stdout } = await tool('debugfs', '-R', `blocks /${name}`, `${disk}?offset=${START}`)
  const last = Number(stdout.trim().split(/\s+/).at(-1))
  await using file = await open(disk, 'r+')
  await file.write(secret('slack'), START + last * BLOCK + (PAYLOAD_BYTES % BLOCK) + 50)
}

/** A line of each private key that the package has made. */
async function hostKeys(folder: string): Promise<string[]> {
  const names = (await readdir(folder)).filter((name) => /^ssh_host_.*_key$/.test(name))
  const { stdout } = await run('sed', ['-s', '-n', '4p', ...names], { cwd: folder })
  return stdout.split('\n').filter((line) => line.length > 20)
}

async function put(path: string, content: string | Buffer): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, content)
}
