import { open, readFile, writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { seededRandom, Workshop } from '../disks/workshop.ts'
import { diskAt, scrubFile, search, searchLast } from './guest-disk.ts'
import { describeWithTools, stands, tool } from './tools.ts'

const SECRET = 'the-deleted-secret'
/** Of the file with it, as it stands in its folder once it is deleted. */
const SHORT_NAME = 'ECRET  TXT'
const SLACK = 'behind-the-end'
const LARGE_BYTES = 300_000
const MIB = 2 ** 20

const KINDS: readonly (readonly [string, number, string])[] = [
  ['FAT12', 2, '-F 12'],
  ['FAT12 with one table', 2, '-F 12 -f 1'],
  ['FAT16', 32, '-F 16'],
  ['FAT16 with large clusters', 64, '-F 16 -s 8'],
  ['FAT32', 64, '-F 32'],
  ['FAT32 with sectors of 4 KiB', 300, '-F 32 -S 4096 -s 1']
]

let workshop: Workshop
beforeAll(async () => {
  workshop = await Workshop.open()
})
afterAll(() => workshop[Symbol.asyncDispose]())

async function makeFat(name: string, mib: number, options: string): Promise<string> {
  const path = await workshop.write(name, Buffer.alloc(0))
  await tool('mkfs.fat', '-C', ...options.split(' '), '-n', 'BOOT', `${path}.fat`, String(mib * 1024))
  const copy = async (file: string, bytes: Buffer, to: string) =>
    tool('mcopy', '-i', `${path}.fat`, await workshop.write(`${name}-${file}`, bytes), `::${to}`)
  await tool('mmd', '-i', `${path}.fat`, '::/EFI', '::/EFI/BOOT', '::/a folder with a long name')
  for (let i = 0; i < 40; i += 1) {
    await copy(
      'small',
      Buffer.alloc(i * 200, `file ${i} `),
      `/a folder with a long name/a file with a long name ${i}.txt`
    )
  }
  await copy('secret', Buffer.alloc(50_000, `${SECRET} `), '/secret.txt')
  await copy('large', Buffer.alloc(LARGE_BYTES, 'some text '), '/EFI/BOOT/BOOTX64.EFI')
  await tool('mdel', '-i', `${path}.fat`, '::/secret.txt')
  return `${path}.fat`
}

/** Writes into the last cluster of the large file, behind its end. */
async function plantBehindLarge(path: string): Promise<void> {
  await using file = await open(path, 'r+')
  const { buffer, bytesRead } = await file.read(Buffer.alloc(8 * MIB), 0, 8 * MIB, 0)
  const start = buffer.subarray(0, bytesRead).indexOf('some text some text ')
  await file.write(SLACK, start + LARGE_BYTES)
}

const fileBytes = (path: string) => tool('mtype', '-i', path, '::/EFI/BOOT/BOOTX64.EFI')

describeWithTools(['mkfs.fat', 'fsck.fat', 'mcopy'], 'FAT', () => {
  describe.each(KINDS)('%s', (name, mib, options) => {
    it('loses what was deleted and nothing else', async () => {
      const path = await makeFat(name.replaceAll(' ', '-'), mib, options)
      await plantBehindLarge(path)
      for (const text of [SECRET, SHORT_NAME, SLACK]) expect(await stands(text, path), text).toBe(true)

      const { report } = await scrubFile(path, `${path}-scrubbed`)

      expect(report.partitions).toMatchObject([{ fileSystem: 'fat', trusted: true }])
      const counted = await tool('fsck.fat', '-nv', path)
      const [, clusterBytes] = /(\d+) bytes per cluster/.exec(counted) ?? []
      const [, used, clusters] = /(\d+)\/(\d+) clusters/.exec(counted) ?? []
      expect(report.partitions[0]?.freeBytes).toBe((Number(clusters) - Number(used)) * Number(clusterBytes))
      for (const text of [SECRET, SHORT_NAME, SLACK]) expect(await stands(text, `${path}-scrubbed`), text).toBe(false)
      expect(await tool('fsck.fat', '-nv', `${path}-scrubbed`)).toBe(counted.replaceAll(path, `${path}-scrubbed`))
      expect(await fileBytes(`${path}-scrubbed`)).toBe(await fileBytes(path))
    })
  })

  describe('a table that lies', () => {
    let sound: Buffer
    /** Where the table and its copy begin, and the first cluster of the large file. */
    let tables: number[]
    let large: number
    beforeAll(async () => {
      const path = await makeFat('lies', 5, '-F 16 -s 1')
      sound = await readFile(path)
      const tableBytes = sound.readUInt16LE(22) * 512
      tables = [0, 1].map((copy) => sound.readUInt16LE(14) * 512 + copy * tableBytes)
      const name = sound.indexOf('BOOTX64 EFI')
      large = sound.readUInt16LE(name + 26)
    })

    const judge = async (change: (bytes: Buffer) => void) => {
      const bytes = Buffer.from(sound)
      change(bytes)
      const { extents, report } = await searchLast(bytes)
      return { dropped: extents.bytes, rule: report?.trusted === false ? report.rule : 'trusted' }
    }
    const setNext = (cluster: number, next: number) =>
      judge((bytes) => {
        for (const table of tables) bytes.writeUInt16LE(next, table + cluster * 2)
      })

    it.each([
      ['a used cluster is free', 0, 'bitmap-lies'],
      ['a used cluster is bad', 0xfff7, 'bad-cluster'],
      ['a chain leads outside', 0xfff0, 'block-outside'],
      ['a chain leads to no cluster', 1, 'block-outside'],
      ['a file ends early', 0xffff, 'chain-short']
    ])('is found out: %s', async (_what, next, rule) => {
      expect(await setNext(large + 3, next)).toEqual({ dropped: 0, rule })
    })

    it('is found out where a chain loops', async () => {
      expect(await setNext(large + 3, large)).toEqual({ dropped: 0, rule: 'block-shared' })
    })

    it('is found out where a used cluster belongs to nobody', async () => {
      expect(await setNext(8000, 0xffff)).toEqual({ dropped: 0, rule: 'blocks-unreferenced' })
    })

    it('keeps clusters that are bad', async () => {
      const { dropped, rule } = await setNext(8000, 0xfff7)

      expect(rule).toBe('trusted')
      expect(dropped).toBe((await setNext(8000, 0)).dropped - (sound[13] ?? 0) * 512)
    })

    it('is found out where its copies differ', async () => {
      const verdict = await judge((bytes) => bytes.writeUInt16LE(0xffff, (tables[1] ?? 0) + 16000))

      expect(verdict).toEqual({ dropped: 0, rule: 'copies-differ' })
    })

    it.each([
      ['by Linux', (bytes: Buffer) => bytes.writeUInt8(1, 37)],
      [
        'by Windows',
        (bytes: Buffer) => {
          for (const table of tables) bytes.writeUInt16LE(0x7fff, table + 2)
        }
      ]
    ])('is not asked while it is mounted %s', async (_whom, change) => {
      expect(await judge(change)).toEqual({ dropped: 0, rule: 'mounted' })
    })

    it('is not asked by a boot sector that contradicts itself', async () => {
      const changes: [(bytes: Buffer) => void, string][] = [
        [(bytes) => bytes.writeUInt32LE(0xffffffff, 32), 'size'],
        [(bytes) => bytes.writeUInt16LE(1, 22), 'table-size'],
        [(bytes) => bytes.writeUInt16LE(0xffff, 14), 'size'],
        [(bytes) => bytes.writeUInt8(128, 13), 'block-outside'],
        [(bytes) => bytes.writeUInt16LE(0, 17), 'fat-kind']
      ]
      for (const [change, rule] of changes) {
        const small = (bytes: Buffer) => {
          bytes.writeUInt32LE(bytes.readUInt16LE(19) || bytes.readUInt32LE(32), 32)
          bytes.writeUInt16LE(0, 19)
          change(bytes)
        }
        expect(await judge(small)).toEqual({ dropped: 0, rule })
      }
    })

    it('never loses a cluster of a file, however it was changed', async () => {
      const random = seededRandom(5)
      const below = (limit: number) => Math.floor(random() * limit)
      const free = (await judge(() => {})).dropped
      const root = (tables[1] ?? 0) + sound.readUInt16LE(22) * 512
      const rules = new Set<string>()
      for (let i = 0; i < 250; i += 1) {
        const verdict = await judge((bytes) => {
          const at = [below(64), (tables[0] ?? 0) + below(1200), root + below(256)][below(3)] ?? 0
          bytes[at] = below(256)
          if (at < root) bytes[at - (tables[0] ?? 0) + (tables[1] ?? 0)] = bytes[at] ?? 0
        })
        rules.add(verdict.rule)
        if (verdict.rule === 'trusted') expect(verdict.dropped, `mutant ${i}`).toBeLessThanOrEqual(free)
        else expect(verdict.dropped, `mutant ${i}`).toBe(0)
      }
      expect(rules.size).toBeGreaterThan(6)
    })
  })
})

it('refuses a table too large to be kept', async () => {
  const path = await workshop.write('huge', Buffer.alloc(0))
  const bytes = Buffer.alloc(4 * MIB)
  bytes.set([0xeb, 0x58, 0x90])
  bytes.writeUInt16LE(512, 11)
  bytes.writeUInt8(1, 13)
  bytes.writeUInt16LE(32, 14)
  bytes.writeUInt8(2, 16)
  bytes.writeUInt8(0xf8, 21)
  bytes.writeUInt32LE(2 ** 28, 32)
  bytes.writeUInt32LE(2 ** 21, 36)
  bytes.writeUInt16LE(0xaa55, 510)
  await writeFile(path, bytes)
  await tool('truncate', '-s', '200G', path)

  await using disk = await diskAt(path)

  const { report, extents } = await search(disk)

  expect(report.partitions).toMatchObject([{ fileSystem: 'fat', trusted: false, rule: 'too-large' }])
  expect(extents.bytes).toBe(0)
})
