import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest'
import type { Disk } from '../../../src/disks/disk.ts'
import type { ScrubOptions } from '../../../src/domain/export-options.ts'
import type { Guest, ScrubProgress } from '../../../src/domain/scrub-report.ts'
import { createOverlay } from '../../../src/scrub/create-overlay.ts'
import { fileSystems } from '../../../src/scrub/filesystems/registry.ts'
import type { GuestFiles } from '../../../src/scrub/guest.ts'
import type { Edit, GuestEditor } from '../../../src/scrub/guest-editor.ts'
import type { OverlayDisk } from '../../../src/scrub/overlay-disk.ts'
import { planScrub, type ScrubRules } from '../../../src/scrub/profiles.ts'
import { Refused } from '../../../src/scrub/refused.ts'
import { scrubSteps } from '../../../src/scrub/registry.ts'
import { type Scrubbed, type ScrubUses, scrub } from '../../../src/scrub/scrub.ts'
import { MemoryGuest } from '../../support/memory-guest.ts'
import { RULES } from '../../support/scrub-policy.ts'
import { Workshop } from '../disks/workshop.ts'
import { makeExt, SECRET, sampleTree } from './ext-maker.ts'
import { diskAt } from './guest-disk.ts'
import { describeWithTools } from './tools.ts'

const MARK = Buffer.from('written by an editor')

/** Asks its steps and changes nothing, but says so, and leaves a mark on the disk. */
const editor = (
  name: GuestEditor['name'],
  outcome: Guest['kind'] | Refused,
  files: GuestFiles = new MemoryGuest({})
): GuestEditor => ({
  name,
  async edit(disk: OverlayDisk, { steps, settings, looks, work }: Edit, signal) {
    expect(await readdir(work)).toEqual([])
    await disk.write(MARK, 2 * 4096 * 500)
    if (outcome instanceof Refused) throw outcome
    for (const step of steps) for await (const _change of step.changes(files, settings));
    for (const look of looks) await look(files, signal)
    const report = steps.map(({ id }) => ({ id, changed: true, files: 1, bytes: 7 }))
    return { guest: { kind: outcome }, steps: report, tools: { [name]: '1.0' } }
  }
})

describeWithTools(['mke2fs', 'debugfs'], 'a scrub', () => {
  let workshop: Workshop
  let path: string
  let work: string
  let disk: Disk
  let opened: Scrubbed[]
  let told: ScrubProgress[]
  beforeAll(async () => {
    workshop = await Workshop.open()
    await sampleTree(workshop)
    path = await makeExt(workshop, 'volume', 16, ['-t', 'ext4', '-b', '4096'])
  })
  afterAll(() => workshop[Symbol.asyncDispose]())
  beforeEach(async () => {
    work = await mkdtemp(join(tmpdir(), 'scrub-test-'))
    disk = await diskAt(path)
    opened = []
    told = []
  })
  afterEach(async () => {
    for (const scrubbed of opened) await scrubbed.disk[Symbol.asyncDispose]()
    await disk[Symbol.asyncDispose]()
    await rm(work, { recursive: true })
  })

  async function run(
    editors: readonly GuestEditor[],
    asked: ScrubOptions = {},
    rules: Partial<ScrubRules> = {},
    over: Disk = disk,
    more: Partial<ScrubUses> = {}
  ): Promise<Scrubbed> {
    const plan = planScrub({ profile: 'generalize', ...asked }, undefined, { ...RULES, ...rules }, scrubSteps())
    const folder = async (name: string) => {
      await mkdir(join(work, name))
      return join(work, name)
    }
    const uses = {
      editors,
      fileSystems: fileSystems(),
      overlay: createOverlay,
      folder,
      clock: () => performance.now(),
      tell: (now: ScrubProgress) => told.push(now),
      ...more
    }
    const scrubbed = await scrub(over, plan, uses, AbortSignal.timeout(30_000))
    opened.push(scrubbed)
    return scrubbed
  }

  async function bytesOf({ disk }: Pick<Scrubbed, 'disk'>): Promise<Buffer> {
    const bytes = Buffer.alloc(disk.virtualSize)
    await disk.read(bytes, 0)
    return bytes
  }

  it('gives a disk with the changes and without what no file needs, and a report', async () => {
    const before = await bytesOf({ disk })
    expect(before.includes(SECRET)).toBe(true)

    const scrubbed = await run([editor('fast', 'linux')])

    const { report } = scrubbed
    expect((await bytesOf(scrubbed)).includes(SECRET)).toBe(false)
    expect(report).toMatchObject({
      profile: 'generalize',
      guest: { kind: 'linux' },
      path: 'fast',
      kept: [{ id: 'ssh-user-keys' }, { id: 'lock-passwords' }],
      partitions: [{ offset: 0, bytes: disk.virtualSize, fileSystem: 'ext2/3/4' }],
      overlayBytes: expect.any(Number),
      tools: { fast: '1.0' }
    })
    expect(report.steps[0]).toEqual({ id: 'machine-id', changed: true, files: 1, bytes: 7 })
    expect(report.freedBytes).toBeGreaterThan(0)
    expect(report.freedBytes).toBeLessThanOrEqual(report.partitions[0]?.freeBytes ?? 0)
    expect(report.digest).toMatch(/^[0-9a-f]{64}$/)
    expect((await bytesOf({ disk })).equals(before), 'the disk below').toBe(true)
  })

  it('tells what it is at: the steps in their turn, those of the operator, and what is around them', async () => {
    const operatorSteps = {
      ids: ['10-look'],
      run: async (_disk: OverlayDisk, _guest: Guest, begin: (id: string) => void) => {
        begin('10-look')
        return []
      }
    }
    const asked: ScrubOptions = { profile: 'custom', enable: ['machine-id', 'logs'] }

    await run([editor('fast', 'linux')], asked, {}, disk, { operatorSteps })

    const of = 7
    expect(told).toEqual([
      { step: 'checking', done: 0, of },
      { step: 'machine-id', done: 1, of },
      { step: 'logs', done: 2, of },
      { step: 'secrets', done: 3, of },
      { step: 'settling', done: 4, of },
      { step: 'custom/10-look', done: 5, of },
      { step: 'free-space', done: 6, of }
    ])
  })

  it('gives the same digest for the same changes', async () => {
    const one = await run([editor('fast', 'linux')])
    await rm(work, { recursive: true })
    await mkdir(work)
    const other = await run([editor('fast', 'linux')])

    expect(other.digest).toBe(one.digest)
  })

  it('tells which partitions keep their files as they are, and why', async () => {
    const fast = editor('fast', 'linux')
    const left = new Map([[0, 'nothing mounts it']])
    const leaving: GuestEditor = { ...fast, edit: async (...about) => ({ ...(await fast.edit(...about)), left }) }

    const { report } = await run([leaving])

    expect(report.partitions).toMatchObject([{ offset: 0, filesLeft: 'nothing mounts it' }])
  })

  it('asks the next editor after a refusal, with an overlay as new', async () => {
    const refused = new Refused('needs-more', 'it lies on several disks')
    const { report } = await run([editor('fast', refused), editor('appliance', 'linux')])

    expect(report).toMatchObject({ path: 'appliance', tools: { appliance: '1.0' } })
  })

  it.each([
    ['no editor', []],
    ['editors that refuse', [editor('fast', new Refused('xfs', 'its file system is xfs'))]],
    ['a guest that is no Linux', [editor('fast', 'other'), editor('appliance', 'unknown')]]
  ])('fails for %s, and leaves nothing open', async (_case, editors) => {
    await expect(run(editors)).rejects.toMatchObject({ code: 'SCRUB_OS_UNRECOGNIZED', permanent: true })
    expect((await readdir(work)).filter((name) => name.endsWith('.overlay'))).toEqual([])
  })

  it('says of an encrypted guest that it is', async () => {
    const refused = new Refused('encrypted', 'it is encrypted')

    await expect(run([editor('fast', refused)])).rejects.toMatchObject({ code: 'SCRUB_GUEST_ENCRYPTED' })
  })

  it('drops free space even where files cannot be changed and that may be so', async () => {
    const refused = new Refused('xfs', 'its file system is xfs')
    const scrubbed = await run([editor('fast', refused)], { on_unrecognized_os: 'skip' })

    expect(scrubbed.report).toMatchObject({ path: 'none', overlayBytes: 0, guest: { kind: 'unknown' } })
    expect(scrubbed.report.steps[0]).toMatchObject({
      id: 'machine-id',
      changed: false,
      skipped: 'its file system is xfs (xfs)'
    })
    const bytes = await bytesOf(scrubbed)
    expect(bytes.includes(SECRET)).toBe(false)
    expect(bytes.includes(MARK)).toBe(false)
  })

  it('fails when what was deleted cannot be proved to be gone', async () => {
    const bytes = await bytesOf({ disk })
    bytes.fill(0, 4096, 8192) // the group descriptors
    const broken = await diskAt(await workshop.write('broken', bytes))

    await expect(run([editor('fast', 'linux')], {}, {}, broken)).rejects.toMatchObject({ code: 'SCRUB_FAILED' })
    await broken[Symbol.asyncDispose]()
  })

  it('looks for secrets once the steps are through, unless the operator has it otherwise', async () => {
    const guest = new MemoryGuest({ '/root/.netrc': 'machine a login b password c' })
    const found = [{ rule: 'netrc', path: '/root/.netrc' }]

    expect((await run([editor('fast', 'linux', guest)])).report.secrets).toEqual(found)
  })

  it('does not look for secrets where the operator has it so', async () => {
    const guest = new MemoryGuest({ '/root/.netrc': 'machine a login b password c' })

    expect((await run([editor('fast', 'linux', guest)], {}, { secrets: 'off' })).report.secrets).toEqual([])
  })
})
