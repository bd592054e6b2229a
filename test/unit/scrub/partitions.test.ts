import { readFile } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { gptAround } from '../../support/gpt.ts'
import { seededRandom, Workshop } from '../disks/workshop.ts'
import { diskOf, search } from './guest-disk.ts'
import { describeWithTools, tool, toolWithInput } from './tools.ts'

const MIB = 2 ** 20
const SECTOR = 512

let workshop: Workshop
beforeAll(async () => {
  workshop = await Workshop.open()
})
afterAll(() => workshop[Symbol.asyncDispose]())

const reportOn = async (bytes: Buffer) => {
  await using disk = await diskOf(bytes)
  return (await search(disk)).report
}

const refusal = (rule: string) => ({ table: 'unreadable', trusted: false, rule, partitions: [] })

/** Runs sfdisk with a script. */
async function sfdisk(name: string, mib: number, script: string): Promise<Buffer> {
  const path = await workshop.write(name, Buffer.alloc(mib * MIB))
  await toolWithInput(script, 'sfdisk', '-q', path)
  return readFile(path)
}

describeWithTools(['sfdisk', 'sgdisk', 'parted'], 'tables that partitioning tools made', () => {
  it('are read: an MBR with logical partitions', async () => {
    const script = 'label: dos\n,2M,83,*\n,3M,82\n,10M,E\n,1M,83\n'
    const bytes = await sfdisk('logical', 24, `${script}start=14336,size=2M,type=83\nsize=1M,type=c\nsize=1M,type=83\n`)
    const { partitiontable } = JSON.parse(await tool('sfdisk', '-J', workshop.path('logical')))
    const wanted = partitiontable.partitions
      .filter(({ type }: { type: string }) => !['5', 'f'].includes(type))
      .map(({ node, start, size, type }: { node: string; start: number; size: number; type: string }) => ({
        number: Number(/\d+$/.exec(node)?.[0]),
        start: start * SECTOR,
        length: size * SECTOR,
        type: type.padStart(2, '0')
      }))
      .sort((a: { start: number }, b: { start: number }) => a.start - b.start)

    const report = await reportOn(bytes)

    expect(wanted.length).toBeGreaterThan(5)
    expect(report).toMatchObject({ table: 'mbr', trusted: true, notes: [] })
    expect(report.partitions).toMatchObject(wanted)
  })

  it('are read: a GPT, in the order of the disk', async () => {
    const path = await workshop.write('ordered', Buffer.alloc(24 * MIB))
    await tool(
      'sgdisk',
      '-n3:2048:+2M',
      '-c3:third – ünï',
      '-n1:8192:+4M',
      '-t1:8200',
      '-n128:20480:+1M',
      '-t128:ef00',
      path
    )

    const report = await reportOn(await readFile(path))

    expect(report).toMatchObject({ table: 'gpt', trusted: true, notes: [] })
    expect(report.partitions).toMatchObject([
      { number: 3, start: MIB, length: 2 * MIB, name: 'third – ünï', type: '0fc63daf-8483-4772-8e79-3d69d8477de4' },
      { number: 1, start: 4 * MIB, length: 4 * MIB, type: '0657fd6d-a4ab-43c4-84e5-0933c84b4f4f' },
      { number: 128, start: 10 * MIB, length: MIB, type: 'c12a7328-f81f-11d2-ba4b-00a0c93ec93b' }
    ])
  })

  it('are read: a GPT of parted, and one of sfdisk', async () => {
    const path = await workshop.write('parted', Buffer.alloc(8 * MIB))
    await tool(
      'parted',
      '-s',
      path,
      'mklabel',
      'gpt',
      'mkpart',
      'one',
      'ext4',
      '1MiB',
      '3MiB',
      'mkpart',
      'two',
      '3MiB',
      '100%'
    )
    const other = await sfdisk('other', 8, 'label: gpt\nfirst-lba: 34\n,1M\n,2M\n')

    expect((await reportOn(await readFile(path))).partitions).toMatchObject([{ name: 'one' }, { name: 'two' }])
    expect((await reportOn(other)).partitions).toMatchObject([{ number: 1 }, { number: 2 }])
  })

  it('are read from the backup when the first copy is broken, and that is noted', async () => {
    const path = await workshop.write('backup', Buffer.alloc(8 * MIB))
    await tool('sgdisk', '-n1:2048:+2M', '-c1:kept', path)
    const bytes = await readFile(path)
    bytes.fill(0, SECTOR, 34 * SECTOR)

    const report = await reportOn(bytes)

    expect(report).toMatchObject({ table: 'gpt', notes: ['gpt-primary-broken'], partitions: [{ name: 'kept' }] })
  })

  it('are read where the disk has grown since', async () => {
    const path = await workshop.write('grown', Buffer.alloc(8 * MIB))
    await tool('sgdisk', '-n1:2048:+2M', path)
    const bytes = Buffer.concat([await readFile(path), Buffer.alloc(8 * MIB)])

    expect(await reportOn(bytes)).toMatchObject({ table: 'gpt', notes: ['gpt-backup-not-at-end'], partitions: [{}] })
  })

  it('are read with an MBR that names the same partition besides, which is noted', async () => {
    const path = await workshop.write('hybrid', Buffer.alloc(8 * MIB))
    await tool('sgdisk', '-n1:2048:+2M', '-h1', path)
    const bytes = await readFile(path)

    expect(await reportOn(bytes)).toMatchObject({ table: 'gpt', notes: ['hybrid-mbr'], partitions: [{ number: 1 }] })
    bytes.writeUInt32LE(4096, 446 + 16 + 8)
    bytes.writeUInt32LE(4096, 446 + 8)
    expect(await reportOn(bytes)).toMatchObject(refusal('hybrid-mbr'))
  })
})

describe('a GPT', () => {
  const SECTORS = (8 * MIB) / SECTOR
  const HEADER = SECTOR
  const ENTRY = 2 * SECTOR
  /** A disk of 8 MiB with one partition, then changed, with its checksums made right again. */
  function disk(change: (bytes: Buffer) => unknown = () => {}, sealed = true): Buffer {
    const { primary, backup } = gptAround(SECTORS, 2048, 4096)
    const bytes = Buffer.alloc(8 * MIB)
    primary.copy(bytes)
    backup.copy(bytes, bytes.length - backup.length)
    change(bytes)
    if (sealed) {
      const arrayBytes = Math.min(2 ** 20, bytes.readUInt32LE(HEADER + 80) * bytes.readUInt32LE(HEADER + 84))
      bytes.writeUInt32LE(crc32(bytes.subarray(ENTRY, ENTRY + arrayBytes)), HEADER + 88)
      bytes.writeUInt32LE(0, HEADER + 16)
      bytes.writeUInt32LE(crc32(bytes.subarray(HEADER, HEADER + 92)), HEADER + 16)
    }
    return bytes
  }
  /** Without the other copy, which would be taken instead. */
  const alone = (change: (bytes: Buffer) => unknown, sealed = true) =>
    disk((bytes) => {
      bytes.fill(0, bytes.length - SECTOR)
      change(bytes)
    }, sealed)

  it('is read without its backup, which is noted', async () => {
    expect(await reportOn(disk())).toMatchObject({ table: 'gpt', notes: [], partitions: [{ name: 'guest' }] })
    expect(await reportOn(alone(() => {}))).toMatchObject({ table: 'gpt', notes: ['gpt-backup-broken'] })
  })

  it.each([
    ['with a wrong checksum of its header', (bytes: Buffer) => bytes.writeUInt8(1, HEADER + 60), 'gpt-checksum', false],
    ['with a wrong checksum of its table', (bytes: Buffer) => bytes.writeUInt8(1, ENTRY + 60), 'gpt-checksum', false],
    ['of another version', (bytes: Buffer) => bytes.writeUInt32LE(0x20000, HEADER + 8), 'gpt-version', true],
    ['with a table of 4 GiB', (bytes: Buffer) => bytes.writeUInt32LE(2 ** 25, HEADER + 80), 'gpt-entries', true],
    ['with 2^64 bytes of table', (bytes: Buffer) => bytes.fill(0xff, HEADER + 80, HEADER + 88), 'gpt-entries', true],
    ['with tiny entries', (bytes: Buffer) => bytes.writeUInt32LE(64, HEADER + 84), 'gpt-entries', true],
    ['with no entries', (bytes: Buffer) => bytes.writeUInt32LE(0, HEADER + 80), 'gpt-entries', true],
    ['with a table outside', (bytes: Buffer) => bytes.writeBigUInt64LE(2n ** 63n, HEADER + 72), 'gpt-outside', true],
    [
      'with a table among partitions',
      (bytes: Buffer) => bytes.writeBigUInt64LE(4000n, HEADER + 72),
      'gpt-places',
      true
    ],
    [
      'that lies elsewhere than it says',
      (bytes: Buffer) => bytes.writeBigUInt64LE(5n, HEADER + 24),
      'gpt-places',
      true
    ],
    [
      'with a partition outside',
      (bytes: Buffer) => bytes.writeBigUInt64LE(2n ** 62n, ENTRY + 40),
      'partition-outside',
      true
    ],
    [
      'with a partition in its table',
      (bytes: Buffer) => bytes.writeBigUInt64LE(3n, ENTRY + 32),
      'partition-outside',
      true
    ],
    [
      'with a partition that ends before it starts',
      (bytes: Buffer) => bytes.writeBigUInt64LE(2000n, ENTRY + 40),
      'partition-outside',
      true
    ],
    [
      'with partitions that overlap',
      (bytes: Buffer) => bytes.copy(bytes, ENTRY + 128, ENTRY, ENTRY + 128),
      'partitions-overlap',
      true
    ],
    [
      'whose backup says otherwise',
      (bytes: Buffer) => bytes.writeBigUInt64LE(3000n, ENTRY + 32),
      'gpt-copies-differ',
      true
    ]
  ])('is refused %s', async (_what, change, rule, sealed) => {
    const bytes = rule === 'gpt-copies-differ' ? disk(change) : alone(change, sealed)

    expect(await reportOn(bytes)).toMatchObject(refusal(rule))
  })

  it.each([
    ['an MBR of its own', (bytes: Buffer) => bytes.writeUInt8(0x83, 446 + 4), 'mbr-and-gpt'],
    ['no MBR', (bytes: Buffer) => bytes.fill(0, 0, SECTOR), 'mbr-and-gpt'],
    ['a copy for large sectors', (bytes: Buffer) => bytes.write('EFI PART', 4096), 'sector-size'],
    ['a file system around it', (bytes: Buffer) => bytes.write('XFSB', 0), 'hybrid']
  ])('is refused with %s', async (_what, change, rule) => {
    expect(await reportOn(disk(change))).toMatchObject(refusal(rule))
  })

  it('is refused when both copies are gone', async () => {
    expect(await reportOn(alone((bytes) => bytes.fill(0, HEADER, HEADER + 92), false))).toMatchObject(
      refusal('gpt-broken')
    )
  })

  it('of sectors of 4 KiB is read', async () => {
    const bytes = Buffer.alloc(8 * MIB)
    const sectors = bytes.length / 4096
    const { primary } = gptAround(sectors, 256, 512)
    primary.copy(bytes, 0, 0, 512)
    primary.copy(bytes, 4096, 512, 1024)
    primary.copy(bytes, 8192, 1024)

    const report = await reportOn(bytes)

    expect(report).toMatchObject({ table: 'gpt', partitions: [{ start: MIB, length: 2 * MIB }] })
  })

  it('is read or refused, however it was changed', async () => {
    const random = seededRandom(3)
    const below = (limit: number) => Math.floor(random() * limit)
    const rules = new Set<string>()
    for (let i = 0; i < 300; i += 1) {
      const bytes = disk((sound) => {
        for (let changes = 1 + below(2); changes > 0; changes -= 1) {
          const at = [446 + below(64), HEADER + below(92), ENTRY + below(256)][below(3)] ?? 0
          sound[at] = below(256)
        }
        if (random() < 0.5) sound.fill(0, sound.length - SECTOR)
      }, random() < 0.9)
      const report = await reportOn(bytes)
      rules.add(report.trusted ? 'trusted' : report.rule)
    }
    expect(rules).toContain('trusted')
    expect(rules.size).toBeGreaterThan(6)
  })
})

describe('an MBR', () => {
  type Entry = readonly [type: number, first: number, count: number]
  function table(bytes: Buffer, at: number, entries: readonly Entry[]): Buffer {
    entries.forEach(([type, first, count], i) => {
      bytes.writeUInt8(type, at + 446 + i * 16 + 4)
      bytes.writeUInt32LE(first, at + 446 + i * 16 + 8)
      bytes.writeUInt32LE(count, at + 446 + i * 16 + 12)
    })
    bytes.writeUInt16LE(0xaa55, at + 510)
    return bytes
  }
  const disk = (...entries: readonly Entry[]) => table(Buffer.alloc(8 * MIB), 0, entries)
  const chain = (...tables: readonly (readonly [at: number, ...Entry[]])[]) => {
    const bytes = disk([0x83, 64, 64], [0x05, 1024, 4096])
    for (const [at, ...entries] of tables) table(bytes, (1024 + at) * SECTOR, entries)
    return bytes
  }

  it.each([
    [
      'that overlap',
      [
        [0x83, 64, 1000],
        [0x83, 1000, 1000]
      ],
      'partitions-overlap'
    ],
    [
      'that lie in each other',
      [
        [0x83, 64, 10000],
        [0x83, 1000, 10]
      ],
      'partitions-overlap'
    ],
    ['outside the disk', [[0x83, 64, 100000]], 'partition-outside'],
    ['of all sectors there can be', [[0x83, 0xffffffff, 0xffffffff]], 'partition-outside'],
    ['in its own sector', [[0x83, 0, 100]], 'partition-outside'],
    ['of a dynamic disk', [[0x42, 64, 100]], 'dynamic-disk'],
    [
      'of two containers',
      [
        [0x05, 64, 100],
        [0x0f, 1000, 100]
      ],
      'extended-count'
    ],
    ['of a GPT that is not there', [[0xee, 1, 16383]], 'gpt-broken']
  ] as const)('is refused with partitions %s', async (_what, entries, rule) => {
    expect(await reportOn(disk(...entries))).toMatchObject(refusal(rule))
  })

  it('is refused where an entry is none', async () => {
    const bytes = disk([0x83, 64, 100])
    bytes.writeUInt8(0x13, 446)

    expect(await reportOn(bytes)).toMatchObject(refusal('mbr-entry'))
  })

  it('has logical partitions, counted from 5', async () => {
    const bytes = chain([0, [0x83, 8, 100], [0x05, 200, 200]], [200, [0x83, 8, 100]])

    expect((await reportOn(bytes)).partitions).toMatchObject([
      { number: 1, start: 64 * SECTOR },
      { number: 5, start: 1032 * SECTOR, length: 100 * SECTOR },
      { number: 6, start: 1232 * SECTOR }
    ])
  })

  it.each([
    ['loops', chain([0, [0x83, 8, 100], [0x05, 200, 200]], [200, [0x83, 8, 100], [0x05, 0, 200]]), 'extended-loop'],
    ['names itself', chain([0, [0x83, 8, 100], [0x05, 0, 200]]), 'extended-loop'],
    ['leads outside', chain([0, [0x83, 8, 100], [0x05, 0xfffffff0, 200]]), 'extended-broken'],
    ['leads to nothing', chain([0, [0x83, 8, 100], [0x05, 300, 200]]), 'extended-broken'],
    ['goes on with a partition', chain([0, [0x83, 8, 100], [0x83, 300, 200]]), 'extended-broken'],
    ['has a partition outside', chain([0, [0x83, 8, 5000]]), 'partition-outside'],
    [
      'has a table in a partition',
      chain([0, [0x83, 8, 300], [0x05, 200, 200]], [200, [0x83, 200, 100]]),
      'partitions-overlap'
    ],
    [
      'is endless',
      chain(...Array.from({ length: 200 }, (_, i) => [i * 4, [0x83, 1, 2], [0x05, i * 4 + 4, 4]] as const)),
      'extended-count'
    ]
  ])('is refused when the chain of logical partitions %s', async (_what, bytes, rule) => {
    expect(await reportOn(bytes)).toMatchObject(refusal(rule))
  })

  it('may have an extended partition into which nothing was put', async () => {
    expect(await reportOn(chain())).toMatchObject({ table: 'mbr', trusted: true, partitions: [{ number: 1 }] })
  })

  it('counts sectors of 4 KiB where its partitions make sense so', async () => {
    const bytes = disk([0x83, 256, 512])
    bytes.write('XFSB', 256 * 4096)
    const both = Buffer.from(bytes)
    both.write('XFSB', 256 * SECTOR)

    expect(await reportOn(bytes)).toMatchObject({
      notes: ['sectors-of-4096'],
      partitions: [{ start: MIB, length: 2 * MIB, fileSystem: 'xfs' }]
    })
    expect(await reportOn(both)).toMatchObject(refusal('sector-size'))
  })

  it('is refused where a file system lies around it', async () => {
    const bytes = disk([0x83, 64, 1000])
    bytes.write('_BHRfS_M', 0x10040)

    expect(await reportOn(bytes)).toMatchObject(refusal('hybrid'))
  })

  it('without entries is none', async () => {
    const bytes = disk()
    bytes.write('hsqs')

    expect(await reportOn(bytes)).toMatchObject({ table: 'none', partitions: [{ number: 0, fileSystem: 'squashfs' }] })
    expect(await reportOn(Buffer.alloc(SECTOR))).toMatchObject({
      table: 'none',
      partitions: [{ fileSystem: 'unknown' }]
    })
  })
})
