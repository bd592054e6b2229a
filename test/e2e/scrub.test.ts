import {
  appendFile,
  chmod,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  stat,
  symlink,
  truncate,
  writeFile
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { gptAround } from '../support/gpt.ts'
import { freshDatabase } from '../support/postgres.ts'
import { putServer } from '../support/put-server.ts'
import { qemuImg } from '../support/qemu-img.ts'
import { removeDataDir } from '../support/remove-data-dir.ts'
import { Client, type Json, type ServiceProcess, startProcess } from '../support/service.ts'
import { describeWithTools, tool } from '../unit/scrub/tools.ts'

const MIB = 2 ** 20
const SECTOR = 512
const DISK_MIB = 48
const START_MIB = 2
const LENGTH_MIB = 44
const INSIDE = `?offset=${START_MIB * MIB}`

/** What goes: each text stands in the file, and nowhere else. */
const GOES: Record<string, string> = {
  '/etc/machine-id': '5ca1ab1e0ddba11dec0de5ca1ab1e0dd\n',
  '/var/lib/dbus/machine-id': '5ca1ab1e0ddba11dec0de5ca1ab1e0dd\n',
  '/etc/ssh/ssh_host_rsa_key': 'MARK_HOST_KEY',
  '/root/.bash_history': 'mysql -pMARK_BASH_HISTORY',
  '/root/.psql_history': 'MARK_PSQL_HISTORY',
  '/root/.mysql_history': 'MARK_MYSQL_HISTORY',
  '/root/.lesshst': 'MARK_LESSHST',
  '/root/.viminfo': 'MARK_VIMINFO',
  '/home/debian/.python_history': 'MARK_PYTHON_HISTORY',
  '/home/debian/.aws/credentials': 'MARK_AWS',
  '/home/debian/.config/gcloud/credentials.db': 'MARK_GCLOUD',
  '/home/debian/.azure/accessTokens.json': 'MARK_AZURE',
  '/root/.kube/config': 'MARK_KUBE',
  '/var/log/syslog': 'MARK_LOG '.repeat(3000),
  '/var/log/syslog.1': 'MARK_ROTATED',
  '/var/log/journal/5ca1ab1e0ddba11dec0de5ca1ab1e0dd/system.journal': 'MARK_JOURNAL',
  '/var/lib/cloud/instances/i-0a1b2c3d/user-data.txt': 'MARK_USERDATA',
  '/var/lib/cloud/data/instance-id': 'MARK_INSTANCE',
  '/etc/udev/rules.d/70-persistent-net.rules': 'MARK_UDEV',
  '/var/lib/dhcp/dhclient.eth0.leases': 'MARK_LEASE',
  '/var/cache/apt/archives/x.deb': 'MARK_CACHE',
  '/var/lib/systemd/random-seed': 'MARK_SEED',
  '/var/mail/root': 'MARK_MAIL',
  '/var/spool/cron/crontabs/root': 'MARK_CRON',
  '/tmp/session': 'MARK_TMP',
  '/var/crash/app.crash': 'MARK_CRASH',
  '/opt/provider-agent/agent.conf': 'MARK_AGENT'
}
/** What stays, byte for byte. */
const STAYS: Record<string, string> = {
  '/etc/os-release': 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n',
  '/etc/fstab': 'LABEL=rootfs / ext4 errors=remount-ro 0 1\n',
  '/etc/passwd': 'root:x:0:0:root:/root:/bin/bash\ndebian:x:1000:1000::/home/debian:/bin/bash\n',
  '/etc/shadow': 'root:*:19000:0:99999:7:::\ndebian:$6$salt$KEPT_HASH:19000:0:99999:7:::\n',
  '/root/.ssh/id_ed25519': '-----BEGIN OPENSSH PRIVATE KEY-----\nKEPT_USER_KEY\n-----END OPENSSH PRIVATE KEY-----\n',
  '/etc/systemd/system/app.service': '[Service]\nExecStart=/bin/true\n',
  '/usr/lib/systemd/system-generators/keep': '#!/bin/sh\n',
  '/srv/app.dat': 'KEEP_ME '.repeat(50_000)
}
const FIRST_BOOT = '#!/bin/sh\nssh-keygen -A\n'
/** Takes its time over one format. */
const LOOK = `#!/bin/sh
about=$(cat)
case $about in *'"format":"vdi"'*) sleep 3;; esac
case $about in *'"version":1'*) echo '{"files":3,"note":"nothing bad"}';; esac
`
const DELETED = 'MARK_DELETED_LONG_AGO'
/** Everything that may stand nowhere in the bytes of what leaves. */
const SECRETS = [
  ...Object.values(GOES).map((text) => text.trim().split(' ').at(-1) ?? ''),
  'i-0a1b2c3d',
  'GAP_BETWEEN',
  DELETED
]

/** A raw disk with a partition table, and in its one partition the files above, one more deleted. */
async function makeGuest(folder: string): Promise<string> {
  const tree = join(folder, 'tree')
  for (const [path, text] of Object.entries({ ...GOES, ...STAYS, '/root/deleted': `${DELETED}\n`.repeat(20_000) })) {
    await mkdir(dirname(join(tree, path)), { recursive: true })
    await writeFile(join(tree, path), text)
  }
  await chmod(join(tree, 'etc/shadow'), 0o640)
  await symlink('/etc/passwd', join(tree, 'var/log/evil-link'))
  const volume = join(folder, 'volume')
  await tool('mke2fs', '-q', '-F', '-t', 'ext4', '-L', 'rootfs', '-d', tree, volume, `${LENGTH_MIB}M`)
  await tool('debugfs', '-w', '-R', 'rm /root/deleted', volume)

  const path = join(folder, 'guest.raw')
  await writeFile(path, '')
  await truncate(path, DISK_MIB * MIB)
  const { primary, backup } = gptAround(
    (DISK_MIB * MIB) / SECTOR,
    (START_MIB * MIB) / SECTOR,
    (LENGTH_MIB * MIB) / SECTOR
  )
  await using disk = await open(path, 'r+')
  await disk.write(primary, 0, primary.length, 0)
  await disk.write(backup, 0, backup.length, DISK_MIB * MIB - backup.length)
  await disk.write(await readFile(volume), 0, LENGTH_MIB * MIB, START_MIB * MIB)
  await disk.write(Buffer.from('GAP_BETWEEN'), 0, 11, (START_MIB + LENGTH_MIB + 1) * MIB)
  return path
}

const ADMIN = { 'x-auth-token': 'root:demo:admin' }

describeWithTools(['mke2fs', 'debugfs', 'e2fsck', 'bwrap', 'qemu-img'], 'an export that is scrubbed', () => {
  let folder: string
  let guest: string
  let service: ServiceProcess
  let client: Client
  let image: string
  const closing: (() => Promise<unknown>)[] = []

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'e2e-scrub-'))
    const database = await freshDatabase()
    closing.push(() => removeDataDir(folder), database.drop)
    guest = await makeGuest(folder)
    await mkdir(join(folder, 'steps'))
    await writeFile(join(folder, 'first-boot'), FIRST_BOOT)
    await writeFile(join(folder, 'steps/10-look.sh'), LOOK, { mode: 0o755 })
    service = startProcess('all', {
      DATA_DIR: join(folder, 'data'),
      DATABASE_URL: database.url,
      TASK_ATTEMPTS: '1',
      SCRUB_APPLIANCE: 'false',
      SCRUB_FIRST_BOOT: join(folder, 'first-boot'),
      SCRUB_STEPS_DIR: join(folder, 'steps'),
      SCRUB_PROVIDER_PATHS: '/opt/provider-*',
      SCRUB_REQUIRED_STEPS: 'ssh-host-keys',
      EXPORT_DENY: 'export_allowed=false,os_license=*'
    })
    closing.push(() => service.stop())
    client = new Client(String((await service.line('listening')).url))
    image = await client.upload(await readFile(guest), 'raw')
  }, 60_000)
  afterAll(async () => {
    for (const close of closing.reverse()) await close()
  })

  /** Exports, and gives the task and the file that came out. */
  async function exported(more: Json, of = image) {
    await using place = await putServer()
    const task = await client.ended(await client.export(of, `http://127.0.0.1:${place.port}/place`, more))
    const [object] = place.objects.values()
    const path = join(folder, `out-${task.id}`)
    if (object) await writeFile(path, object)
    return { task, path, sent: object !== undefined }
  }
  const GENERALIZE = { scrub: { profile: 'generalize' } }

  /** What stands in the bytes of a file that should not. */
  async function left(path: string): Promise<string[]> {
    const bytes = await readFile(path)
    return SECRETS.filter((secret) => bytes.includes(secret))
  }

  it('has all of it in its bytes as long as nothing is scrubbed', async () => {
    const { task, path } = await exported({ export_format: 'raw' })

    expect(await left(path)).toEqual(SECRETS)
    expect((await readFile(path)).equals(await readFile(guest))).toBe(true)
    expect(task.scrub_report).toMatchObject({ profile: 'metadata', path: 'none', steps: [], freed_bytes: 0 })
  })

  it.each([
    ['raw', { export_format: 'raw' }, 'raw'],
    ['qcow2', { export_format: 'qcow2' }, 'qcow2'],
    ['qcow2 with zstd', { export_format: 'qcow2', format_options: { compression: 'zstd' } }, 'qcow2'],
    ['vmdk, monolithicSparse', { export_format: 'vmdk', format_options: { subformat: 'monolithicSparse' } }, 'vmdk'],
    ['vmdk, streamOptimized', { export_format: 'vmdk' }, 'vmdk']
  ] as const)(
    'to %s holds no secret in its raw bytes, and what was to stay is as it was',
    async (_name, more, read) => {
      const { task, path } = await exported({ ...more, ...GENERALIZE, verify: 'full' })

      expect(task).toMatchObject({ task_status: 'success', scrub_report: { path: 'fast', guest: { kind: 'linux' } } })
      expect(await left(path)).toEqual([])
      const unpacked = `${path}.raw`
      await qemuImg('convert', '-f', read, '-O', 'raw', path, unpacked)
      expect(await left(unpacked)).toEqual([])
      for (const [name, text] of Object.entries(STAYS))
        expect(await tool('debugfs', '-R', `cat ${name}`, `${unpacked}${INSIDE}`), name).toBe(text)
      await expect(tool('e2fsck', '-fn', `${unpacked}${INSIDE}`)).resolves.toContain('rootfs')
    }
  )

  it('tells what was done, in the task and in the manifest, and nothing of what was found', async () => {
    const { task } = await exported({
      export_format: 'raw',
      scrub: { profile: 'generalize', disable: ['mail-spools'] }
    })

    const report = Object(task.scrub_report)
    const scrub = { profile: 'generalize', disable: ['mail-spools'] }
    expect(task).toMatchObject({ scrub, input: { scrub } })
    expect(report).toMatchObject({
      profile: 'generalize',
      guest: { kind: 'linux', name: 'Debian GNU/Linux 12 (bookworm)' },
      path: 'fast',
      kept: expect.arrayContaining([
        { id: 'mail-spools', why: 'the request has switched it off' },
        { id: 'ssh-user-keys', why: 'the profile does not have it' }
      ]),
      secrets: [{ rule: 'private-key', path: '/root/.ssh/id_ed25519' }],
      partitions: [{ offset: START_MIB * MIB, bytes: LENGTH_MIB * MIB, file_system: 'ext2/3/4' }],
      tools: { e2fsck: expect.any(String) },
      digest: expect.stringMatching(/^[0-9a-f]{64}$/)
    })
    expect(report.steps.find(({ id }: Json) => id === 'machine-id')).toMatchObject({ changed: true, files: 2 })
    expect(report.freed_bytes).toBeGreaterThan(0)
    expect(report.overlay_bytes).toBeGreaterThan(0)
    expect(report.overlay_bytes).toBeLessThan(16 * MIB)
    expect(task.warnings).toContainEqual(expect.objectContaining({ code: 'SECRETS_KEPT' }))
    expect(JSON.stringify(task)).not.toMatch(/MARK_|KEPT_/)
  })

  it('is told in the manifest too, with the properties that may be told', async () => {
    const described = await client.call(
      'PATCH',
      `/v2/images/${image}`,
      [
        { op: 'add', path: '/os_distro', value: 'debian' },
        { op: 'add', path: '/secret_property', value: 'INTERNAL' }
      ],
      { 'content-type': 'application/openstack-images-v2.1-json-patch' }
    )
    expect(described.status).toBe(200)
    await using place = await putServer()

    await client.ended(
      await client.export(image, `http://127.0.0.1:${place.port}/place`, {
        export_format: 'raw',
        manifest: true,
        ...GENERALIZE
      })
    )

    const text = String([...place.objects].find(([path]) => path.endsWith('.manifest.json'))?.[1])
    const manifest = JSON.parse(text)
    expect(manifest.source.properties).toEqual({ os_distro: 'debian' })
    expect(manifest.scrub).toMatchObject({ profile: 'generalize', path: 'fast' })
    expect(text).not.toMatch(/INTERNAL|MARK_|KEPT_/)
  })

  it('gives the same bytes twice, leaves the image as it was, and nothing on the disk of the worker', async () => {
    const one = await exported({ export_format: 'qcow2', ...GENERALIZE })
    const other = await exported({ export_format: 'qcow2', ...GENERALIZE })
    const plain = await exported({ export_format: 'qcow2' })

    expect((await readFile(one.path)).equals(await readFile(other.path))).toBe(true)
    expect(Object(one.task.scrub_report).digest).toBe(Object(other.task.scrub_report).digest)
    expect((await stat(one.path)).size).toBeLessThanOrEqual((await stat(plain.path)).size)
    const stored = await exported({ export_format: 'raw' })
    expect((await readFile(stored.path)).equals(await readFile(guest))).toBe(true)
    const scratch = join(folder, 'data/scratch')
    const own = await readdir(scratch)
    expect(own).toHaveLength(1)
    expect(await readdir(join(scratch, own[0] ?? ''))).toEqual([])
  })

  it('puts in the script of the operator, as root and for root alone', async () => {
    const { path } = await exported({ export_format: 'raw', ...GENERALIZE })

    expect(await tool('debugfs', '-R', 'cat /etc/first-boot-script', `${path}${INSIDE}`)).toBe(FIRST_BOOT)
    const about = await tool('debugfs', '-R', 'stat /etc/first-boot-script', `${path}${INSIDE}`)
    expect(about).toMatch(/Mode: {2}0700/)
    expect(about).toMatch(/User: {5}0 {3}Group: {5}0/)
  })

  it('locks passwords where that is asked, and then the hash is nowhere in the bytes', async () => {
    const { task, path } = await exported({
      export_format: 'raw',
      scrub: { profile: 'custom', enable: ['lock-passwords'] }
    })

    expect(Object(task.scrub_report).steps.map(({ id }: Json) => id)).toEqual(['ssh-host-keys', 'lock-passwords'])
    expect(await tool('debugfs', '-R', 'cat /etc/shadow', `${path}${INSIDE}`)).toBe(
      'root:*:19000:0:99999:7:::\ndebian:!:19000:0:99999:7:::\n'
    )
    const bytes = await readFile(path)
    expect([bytes.includes('KEPT_HASH'), bytes.includes('MARK_HOST_KEY'), bytes.includes(DELETED)]).toEqual([
      false,
      false,
      false
    ])
    expect(bytes.includes('MARK_BASH_HISTORY')).toBe(true)
  })

  it('makes the steps of the operator too, and tells of them', async () => {
    const { task } = await exported({ export_format: 'raw', ...GENERALIZE })

    expect(Object(task.scrub_report).custom).toEqual([{ id: '10-look', exit_code: 0, files: 3, note: 'nothing bad' }])
  })

  it('tells what it is at while it lasts, to those who wait for news too', async () => {
    await using place = await putServer()
    const id = await client.export(image, `http://127.0.0.1:${place.port}/place`, {
      export_format: 'vdi',
      ...GENERALIZE
    })
    const seen: Json[] = []
    let etag = 'none'
    do {
      const headers = { 'if-none-match': etag, prefer: 'wait=10' }
      const answer = await client.call('GET', `/v2/tasks/${id}`, undefined, headers)
      etag = answer.headers.get('etag') ?? ''
      if (answer.status === 200) seen.push(answer.body)
    } while (seen.at(-1)?.task_status !== 'success' && seen.at(-1)?.task_status !== 'failure')

    const told = seen.find(({ progress }) => Object(Object(progress).scrub).step === 'custom/10-look')
    const { done, of } = Object(Object(told?.progress).scrub)
    expect(told).toMatchObject({ task_status: 'processing', phase: 'scrubbing' })
    expect(done).toBe(of - 2)
    expect(told?.message).toBe(`The image is being scrubbed: the operator's step 10-look (${done} of ${of} done).`)
    expect(seen.at(-1)).toMatchObject({ task_status: 'success', message: '', progress: { scrub: null } })
  })

  it('leaves behind what lies around the disk in the stored file, whatever the profile', async () => {
    const path = join(folder, 'with-snapshot.qcow2')
    const inner = join(folder, 'inner.raw')
    await writeFile(inner, Buffer.alloc(MIB, 'MARK_SNAPSHOT'))
    await qemuImg('convert', '-f', 'raw', '-O', 'qcow2', inner, path)
    await qemuImg('snapshot', '-c', 'MARK_SNAPSHOT_NAME', path)
    await qemuImg('bitmap', '--add', path, 'MARK_BITMAP')
    await tool('qemu-io', '-f', 'qcow2', '-c', 'write -P 0x41 0 1M', path)
    await appendFile(path, Buffer.alloc(65_536, 'MARK_SLACK'))
    const image = await client.upload(await readFile(path), 'qcow2')

    const { task, path: out } = await exported({ export_format: 'qcow2' }, image)

    expect(task.task_status).toBe('success')
    expect((await readFile(path)).includes('MARK_SNAPSHOT')).toBe(true)
    expect((await readFile(out)).includes('MARK_')).toBe(false)
  })

  it('to tempurl: is kept as a file, and that is what is downloaded', async () => {
    const id = await client.export(image, 'tempurl:', { export_format: 'raw', ...GENERALIZE })
    const task = await client.ended(id)
    const file = await fetch(String(task.export_location))
    const path = join(folder, 'downloaded')
    await writeFile(path, new Uint8Array(await file.arrayBuffer()))

    expect(await left(path)).toEqual([])
  })

  it('fails for what is no guest, unless that may be skipped', async () => {
    const other = await client.upload(Buffer.alloc(MIB, 'no file system'), 'raw')

    const { task, sent } = await exported({ export_format: 'raw', ...GENERALIZE }, other)
    const skipped = await exported(
      { export_format: 'raw', scrub: { profile: 'generalize', on_unrecognized_os: 'skip' } },
      other
    )

    expect(task).toMatchObject({ failure: { code: 'SCRUB_OS_UNRECOGNIZED', phase: 'scrubbing', actor: 'user' } })
    expect(sent).toBe(false)
    expect(skipped.task).toMatchObject({ task_status: 'success', scrub_report: { path: 'none' } })
    expect(skipped.task.warnings).toContainEqual(expect.objectContaining({ code: 'SCRUB_SKIPPED' }))
  })

  it.each([
    [{ profile: 'generalize', disable: ['ssh-host-keys'] }, 403, 'SCRUB_REQUIRED'],
    [{ profile: 'generalize', enable: ['no-such-step'] }, 400, 'SCRUB_INVALID'],
    [{ profile: 'everything' }, 400, undefined],
    [{ profile: 'generalize', forever: true }, 400, undefined]
  ])('is refused at once for %o', async (scrub, status, code) => {
    const answer = await client.call('POST', '/v2/tasks', {
      task_type: 'export',
      image_uuid: image,
      export_to: 'tempurl:',
      export_format: 'raw',
      scrub
    })

    expect([answer.status, Object(answer.body.error).failure_code]).toEqual([status, code])
  })

  it('is not made of an image that the policy keeps here, and a dry run says so', async () => {
    const kept = await client.upload(Buffer.alloc(MIB), 'raw')
    const json = { 'content-type': 'application/openstack-images-v2.1-json-patch' }
    const licence = [{ op: 'add', path: '/os_license', value: 'per seat' }]
    expect((await client.call('PATCH', `/v2/images/${kept}`, licence, json)).status).toBe(403)
    await client.call('PATCH', `/v2/images/${kept}`, licence, { ...json, ...ADMIN })
    const body = { task_type: 'export', image_uuid: kept, export_to: 'tempurl:', export_format: 'raw' }

    const refused = await client.call('POST', '/v2/tasks', body)
    const dry = await client.call('POST', '/v2/tasks', { ...body, dry_run: true })

    expect(refused).toMatchObject({ status: 403, body: { error: { failure_code: 'IMAGE_NOT_EXPORTABLE' } } })
    expect(String(Object(refused.body.error).message)).toContain('os_license=*')
    expect(dry.body).toMatchObject({ ok: false })
    expect(dry.body.checks).toContainEqual(
      expect.objectContaining({ id: 'image.exportable', ok: false, code: 'IMAGE_NOT_EXPORTABLE', actor: 'operator' })
    )
  })

  it('is what an image that wants it gets without being asked', async () => {
    const json = { 'content-type': 'application/openstack-images-v2.1-json-patch' }
    const wanting = await client.upload(await readFile(guest), 'raw')
    await client.call('PATCH', `/v2/images/${wanting}`, [{ op: 'add', path: '/export_scrub', value: 'generalize' }], {
      ...json,
      ...ADMIN
    })

    const { task, path } = await exported({ export_format: 'raw' }, wanting)

    expect(task).toMatchObject({ scrub_report: { profile: 'generalize', path: 'fast' } })
    expect(await left(path)).toEqual([])
  })
})
