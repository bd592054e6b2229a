import { createReadStream } from 'node:fs'
import { mkdir, mkdtemp, readdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { aptSources } from '../../support/apt-sources.ts'
import { bootGuest } from '../../support/boot-guest.ts'
import { type DebianGuest, makeDebianGuest } from '../../support/debian-guest.ts'
import { freshDatabase } from '../../support/postgres.ts'
import { qemuImg } from '../../support/qemu-img.ts'
import { removeDataDir } from '../../support/remove-data-dir.ts'
import { Client, type Json, startProcess } from '../../support/service.ts'
import { describeWithTools, standing, tool } from '../../unit/scrub/tools.ts'

const MINUTE_MS = 60_000
const SIZE_MIB = 1280
/** In vmdk as it is, so that what stands in the disk stands in the file. */
const FORMATS: Readonly<Record<string, Json>> = {
  raw: {},
  vmdk: { format_options: { subformat: 'monolithicSparse' } },
  qcow2: { format_options: { compression: 'zstd', level: 1 } }
}

/** What the steps of `generalize` have to do with. */
const CHANGED = new RegExp(
  `^/(${[
    'etc/machine-id',
    'etc/ssh/ssh_host_.*',
    'etc/udev/rules.d/70-.*',
    '(root|home/debian)/\\.(bash_history|psql_history|lesshst|viminfo|python_history|aws)',
    'tmp/.*',
    'var/(cache|crash|log|mail|tmp)/.*',
    'var/lib/(apt/lists|cloud|dhcp)/.*',
    'var/lib/(dbus/machine-id|systemd/random-seed)',
    'var/spool/cron/crontabs/.*'
  ].join('|')})$`
)

const TOOLS = ['mmdebstrap', 'qemu-system-x86_64', 'qemu-img', 'sgdisk', 'bwrap']
const describeAsRoot = (name: string, body: () => void) =>
  process.getuid?.() === 0
    ? describeWithTools(TOOLS, name, body)
    : describe.skip(name, { meta: { skipReason: 'it takes root to make a Debian' } }, body)

describeAsRoot('a real Debian that the service has exported with a scrub', () => {
  let folder: string
  let guest: DebianGuest
  /** The exported file of each format. */
  const files: Record<string, string> = {}
  const closing: (() => Promise<unknown>)[] = []

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'boot-'))
    closing.push(() => removeDataDir(folder))
    guest = await makeDebianGuest(join(folder, 'guest'), SIZE_MIB, aptSources())
    await mkdir(join(folder, 'exports'))
    const database = await freshDatabase()
    closing.push(database.drop)
    const service = startProcess('all', {
      DATA_DIR: join(folder, 'data'),
      FILE_ROOT: join(folder, 'exports'),
      DATABASE_URL: database.url,
      TASK_ATTEMPTS: '1',
      SCRUB_APPLIANCE: 'false'
    })
    closing.push(() => service.stop())
    const url = String((await service.line('listening')).url)
    const client = new Client(url)
    const image = await upload(url, client, guest.path)
    for (const [format, more] of Object.entries(FORMATS)) {
      const scrub = { profile: 'generalize' }
      const id = await client.export(image, `file:///${format}`, { export_format: format, ...more, scrub })
      const task = await client.ended(id)
      expect(task).toMatchObject({ task_status: 'success', scrub_report: { path: 'fast', guest: { kind: 'linux' } } })
      files[format] = await theOneFile(join(folder, 'exports'), format)
    }
  }, 8 * MINUTE_MS)
  afterAll(async () => {
    for (const close of closing.reverse()) await close()
  })

  it('had every planted byte, and has none of them in any file, but for those kept by policy', async () => {
    const planted = [...guest.secrets, ...guest.kept]
    expect(await standing(planted, guest.path)).toEqual(planted)

    expect(await standing(planted, files.raw ?? '')).toEqual(guest.kept)
    expect(await standing(planted, files.vmdk ?? '')).toEqual(guest.kept)
    expect(await standing(planted, files.qcow2 ?? '')).toEqual([])
  })

  it.each(['vmdk', 'qcow2'])('holds the same disk in %s as in raw, which was searched', async (format) => {
    const said = await qemuImg('compare', '-f', 'raw', '-F', format, files.raw ?? '', files[format] ?? '')

    expect(said).toContain('Images are identical')
  })

  it(
    'is sound, and every file that no step has to do with is as it was',
    async () => {
      await tool('e2fsck', '-fn', `${files.raw}?offset=${guest.offset}`)
      const [before, after] = [await treeOf(guest.path, 'before'), await treeOf(files.raw ?? '', 'after')]
      const told = await tool('diff', '-rq', '--no-dereference', before, after).catch(
        (error: { stdout: string }) => error.stdout
      )
      const changed = told.split('\n').flatMap((line) => pathIn(line) ?? [])

      expect(changed).toContain('/root/.bash_history')
      expect(changed.filter((path) => !CHANGED.test(path))).toEqual([])
    },
    MINUTE_MS * 3
  )

  it(
    'starts up to its login prompt',
    async () => {
      const said = await bootGuest(files.qcow2 ?? '', 'qcow2', guest, AbortSignal.timeout(6 * MINUTE_MS))

      expect(said).toMatch(/login: ?$/)
    },
    7 * MINUTE_MS
  )

  /** All files of a disk, as e2fsprogs read them. */
  async function treeOf(disk: string, name: string): Promise<string> {
    const target = join(folder, name)
    await mkdir(target)
    await tool('debugfs', '-R', `rdump / ${target}`, `${disk}?offset=${guest.offset}`)
    return target
  }
})

/** Uploads a file without holding it in memory, as nobody should who has a gigabyte. */
async function upload(url: string, client: Client, path: string): Promise<string> {
  const wish = { name: 'guest', disk_format: 'raw', container_format: 'bare' }
  const { body } = await client.call('POST', '/v2/images', wish)
  const headers = { 'x-auth-token': 'alice:demo:member', 'content-type': 'application/octet-stream' }
  const file = Readable.toWeb(createReadStream(path)) as ReadableStream
  const sent = { method: 'PUT', headers, body: file, duplex: 'half' } as RequestInit
  const answer = await fetch(`${url}/v2/images/${body.id}/file`, sent)
  expect(answer.status).toBe(204)
  return String(body.id)
}

async function theOneFile(folder: string, name: string): Promise<string> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const found = entries.filter((entry) => entry.isFile() && entry.parentPath.endsWith(`/${name}`))
  expect(found).toHaveLength(1)
  return join(found[0]?.parentPath ?? '', found[0]?.name ?? '')
}

/** The path in the guest that a line of diff is about. */
function pathIn(line: string): string | undefined {
  const [, folder, name] = /^Only in \S+?\/(?:before|after)(\/.*)?: (.*)$/.exec(line) ?? []
  if (name !== undefined) return `${folder ?? ''}/${name}`
  return /^Files \S+?\/before(\/.*?) and /.exec(line)?.[1]
}
