import { copyFile, readFile, writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Refused } from '../../../src/scrub/refused.ts'
import { seededRandom, Workshop } from '../disks/workshop.ts'
import { debugfs } from './ext-maker.ts'
import {
  CLEANING,
  linuxTree,
  makeGuest,
  offsetOf,
  PARTITION_AT,
  remove,
  scrubGuest,
  secretsIn,
  wanting
} from './linux-guest.ts'
import { describeWithTools, tool } from './tools.ts'

const BLOCK = 1024
const MUTATIONS = 24

let workshop: Workshop
let guest: string
beforeAll(async () => {
  workshop = await Workshop.open()
  guest = await makeGuest(workshop, 'guest', 32, await linuxTree(workshop.path('tree')), [
    '-t',
    'ext4',
    '-b',
    `${BLOCK}`
  ])
})
afterAll(() => workshop[Symbol.asyncDispose]())

const ask = (question: string): Promise<string> => tool('debugfs', '-R', question, offsetOf(guest))

/** Where an inode stands in the disk. */
async function inodeAt(file: string): Promise<number> {
  const [, block, offset] = /located at block (\d+), offset (0x[0-9a-f]+)/.exec(await ask(`imap ${file}`)) ?? []
  return PARTITION_AT + Number(block) * BLOCK + Number(offset)
}

const firstBlock = async (file: string): Promise<number> =>
  PARTITION_AT + Number((await ask(`blocks ${file}`)).trim().split(/\s+/)[0]) * BLOCK

/** What becomes of a guest whose bytes were changed: the rule by which it is refused, or `taken`. */
async function fate(change: (bytes: Buffer) => unknown): Promise<string> {
  const bytes = await readFile(guest)
  await change(bytes)
  const path = await workshop.write('changed', bytes)
  try {
    await scrubGuest(path, `${path}-scrubbed`)
    return 'taken'
  } catch (error) {
    if (error instanceof Refused) return error.rule
    throw error
  }
}

describeWithTools(['mke2fs', 'debugfs', 'e2fsck', 'bwrap'], 'a hostile guest', () => {
  it('is refused, or clean and without what it had deleted, whatever bytes of its tables were changed', async () => {
    const random = seededRandom(20)
    const places = [
      ...Array.from({ length: 4 }, () => PARTITION_AT + BLOCK),
      PARTITION_AT + 2 * BLOCK,
      await inodeAt('/var/log'),
      await inodeAt('/var/log/syslog'),
      await inodeAt('<8>'),
      await inodeAt('/root/.bash_history'),
      await firstBlock('/'),
      await firstBlock('/var/log'),
      await firstBlock('/root'),
      await firstBlock('<8>')
    ]
    const fates: string[] = []
    for (let i = 0; i < MUTATIONS; i += 1) {
      const place = places[Math.floor(random() * places.length)] ?? 0
      const changed = await fate((bytes) => {
        for (let k = 0; k < 1 + random() * 3; k += 1) {
          bytes.writeUInt8(Math.floor(random() * 256), place + Math.floor(random() * 256))
        }
      })
      fates.push(changed)
      if (changed !== 'taken') continue
      // What has another name by now is another file; what was deleted is gone in any case.
      expect(await secretsIn(workshop.path('changed-scrubbed'))).not.toContain('SECRET-deleted')
      await expect(tool('e2fsck', '-fn', offsetOf(workshop.path('changed-scrubbed')))).resolves.toContain('files')
    }

    expect(fates).toContain('taken')
    expect(fates.filter((one) => one !== 'taken').length).toBeGreaterThan(5)
  })

  it('is refused or clean where no checksum tells what was changed', async () => {
    const bare = await makeGuest(workshop, 'bare', 32, workshop.path('tree'), ['-t', 'ext3', '-b', `${BLOCK}`])
    const original = await readFile(bare)
    const random = seededRandom(21)
    const fates = new Set<string>()
    for (let i = 0; i < MUTATIONS; i += 1) {
      const bytes = Buffer.from(original)
      // The tables of the first group, and what folders lie behind them.
      for (let k = 0; k < 4; k += 1) {
        bytes.writeUInt8(Math.floor(random() * 256), PARTITION_AT + BLOCK + Math.floor(random() ** 2 * 2 ** 21))
      }
      await writeFile(workshop.path('bare-changed'), bytes)
      try {
        await scrubGuest(workshop.path('bare-changed'), workshop.path('bare-scrubbed'))
        fates.add('taken')
        await expect(tool('e2fsck', '-fn', offsetOf(workshop.path('bare-scrubbed')))).resolves.toContain('files')
      } catch (error) {
        if (!(error instanceof Refused)) throw error
        fates.add(error.rule)
      }
    }

    expect(fates.size).toBeGreaterThan(1)
  })

  it('keeps a file with blocks that the bitmap calls free', async () => {
    const path = workshop.path('lying')
    await copyFile(guest, path)
    const block = ((await firstBlock('/usr/lib/large')) - PARTITION_AT) / BLOCK
    await debugfs(workshop, offsetOf(path), [`freeb ${block} 100`])

    await scrubGuest(path, `${path}-scrubbed`)

    const large = workshop.path('large')
    await tool('debugfs', '-R', `dump /usr/lib/large ${large}`, offsetOf(`${path}-scrubbed`))
    expect((await readFile(large)).equals(await readFile(workshop.path('tree/usr/lib/large')))).toBe(true)
  })

  it.each<[string, string, () => Promise<readonly string[]>]>([
    ['a file that is marked free', 'inode-bitmap-lies', async () => ['freei /etc/hostname']],
    ['a folder that holds itself', 'broken', async () => ['ln /var /var/log/loop']],
    [
      'a file with the block of a folder',
      'broken',
      async () => [`sif /etc/hostname block[5] ${((await firstBlock('/etc')) - PARTITION_AT) / BLOCK}`]
    ]
  ])('is refused for %s', async (_what, rule, commands) => {
    const path = workshop.path('lying')
    await copyFile(guest, path)
    await debugfs(workshop, offsetOf(path), await commands())

    await expect(scrubGuest(path, `${path}-scrubbed`)).rejects.toMatchObject({ rule })
  })

  it.each<[string, string, (bytes: Buffer) => unknown]>([
    ['a feature that is not known', 'unknown-features', (bytes) => setFeature(bytes, 0x60, 0x40000000)],
    ['no root', 'no-root', (bytes) => rename(bytes, ['fstab', 'fstax'], ['os-release', 'os-releasX'])],
    [
      'a file system of another kind besides',
      'other-file-systems',
      (bytes) => bytes.write('XFSB', PARTITION_AT, 'latin1')
    ]
  ])('is refused for %s', async (_what, rule, change) => {
    const bare = await makeGuest(workshop, 'plain', 32, workshop.path('tree'), ['-t', 'ext4', '-O', '^metadata_csum'])
    const bytes = await readFile(bare)
    change(bytes)
    await writeFile(bare, bytes)

    await expect(scrubGuest(bare, `${bare}-scrubbed`)).rejects.toMatchObject({ rule })
  })

  it.each([
    ['encrypted names', ['-O', 'encrypt']],
    ['contents in inodes', ['-O', 'inline_data']],
    ['clusters', ['-O', 'bigalloc', '-C', '16384']],
    ['quotas', ['-O', 'quota']]
  ])('is left to others with %s', async (_what, options) => {
    const path = await makeGuest(workshop, 'other', 64, workshop.path('tree'), ['-t', 'ext4', ...options])

    await expect(scrubGuest(path, `${path}-scrubbed`)).rejects.toMatchObject({ rule: 'not-editable' })
  })

  it('cannot take more folders along than there are', async () => {
    const deep = Array.from({ length: 60 }, (_, i) => `d${i}`)
    const path = workshop.path('deep')
    await copyFile(guest, path)
    await debugfs(workshop, offsetOf(path), [
      'mkdir /var/deep',
      'cd /var/deep',
      ...deep.flatMap((name) => [`mkdir ${name}`, `cd ${name}`])
    ])

    const { steps } = await scrubGuest(path, `${path}-scrubbed`, [wanting(remove('/var/deep')), ...CLEANING])

    expect(steps[0]?.files).toBe(61)
    expect(await secretsIn(`${path}-scrubbed`)).toEqual([])
  })
})

function setFeature(bytes: Buffer, at: number, bit: number): void {
  const place = PARTITION_AT + 1024 + at
  bytes.writeUInt32LE((bytes.readUInt32LE(place) | bit) >>> 0, place)
}

function rename(bytes: Buffer, ...names: readonly (readonly [string, string])[]): void {
  for (const [from, to] of names) {
    for (let at = bytes.indexOf(from); at >= 0; at = bytes.indexOf(from, at + 1)) bytes.write(to, at, 'latin1')
  }
}
