import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { raw } from '../../../src/disks/raw.ts'
import { GiB } from '../../../src/domain/bytes.ts'
import { memoryFile } from '../disks/recorded-file.ts'
import { seededRandom, Workshop } from '../disks/workshop.ts'
import { makeExt, sampleTree } from './ext-maker.ts'
import { search } from './guest-disk.ts'
import { tool } from './tools.ts'

/** FUZZ_MUTANTS takes more of each image for a longer search: the same ones first, as the seed is the same. */
const MUTANTS = Number(process.env.FUZZ_MUTANTS ?? 250)
const MOST_READS = 5000
const BLOCK = 1024

/** Without checksums, so that mutants get past them. */
const KINDS: readonly (readonly [string, ...string[]])[] = [
  ['extents', '-t', 'ext4', '-O', '^metadata_csum,^uninit_bg,^64bit'],
  ['extents of 64 bits', '-t', 'ext4', '-O', '^metadata_csum,^uninit_bg'],
  ['pointers', '-t', 'ext2'],
  ['clusters', '-t', 'ext4', '-O', 'bigalloc,^metadata_csum,^uninit_bg', '-C', '4096'],
  ['checksums', '-t', 'ext4']
]

let workshop: Workshop
beforeAll(async () => {
  workshop = await Workshop.open()
  await sampleTree(workshop)
})
afterAll(() => workshop[Symbol.asyncDispose]())

/** Where fields are that matter, with how many bytes of them. */
type Place = readonly [at: number, bytes: number]

async function placesIn(path: string): Promise<Place[]> {
  const dump = await tool('dumpe2fs', path)
  const offsets = (pattern: RegExp) => [...dump.matchAll(pattern)].map(([, block]) => Number(block) * BLOCK)
  const places: Place[] = [
    [BLOCK, 0x180],
    [2 * BLOCK, 192],
    ...offsets(/(?:Block|Inode) bitmap at (\d+)/g).map((at) => [at, 64] as const)
  ]
  for (const file of ['<2>', '<7>', '<8>', 'large', 'holes', 'small', 'small/file-9', 'long-link', 'with-attribute']) {
    const [, block, offset] =
      /block (\d+), offset (0x[0-9a-f]+)/.exec(await tool('debugfs', '-R', `imap ${file}`, path)) ?? []
    if (block) places.push([Number(block) * BLOCK + Number(offset), 128])
  }
  for (const file of ['large', 'holes']) {
    const text = await tool('debugfs', '-R', `stat ${file}`, path)
    for (const [, block] of text.matchAll(/\((?:IND|DIND|ETB\d)\):(\d+)/g)) places.push([Number(block) * BLOCK, 64])
  }
  return places
}

/** Changes one to three fields to values that hurt. */
function mutate(sound: Buffer, places: readonly Place[], random: () => number): Buffer {
  const bytes = Buffer.from(sound)
  const below = (limit: number) => Math.floor(random() * limit)
  const edges = [0, 1, 2 ** 15, 2 ** 16 - 1, 2 ** 31, 2 ** 32 - 1, sound.length / BLOCK, 0xf30a]
  for (let changes = 1 + below(3); changes > 0; changes -= 1) {
    const [start = 0, length = 4] = places[below(places.length)] ?? []
    const at = start + below(length / 4) * 4
    const kind = random()
    if (kind < 0.3) bytes[at + below(4)] = below(256)
    else if (kind < 0.5) bytes[at + below(4)] = (bytes[at + below(4)] ?? 0) ^ (1 << below(8))
    else if (kind < 0.7) bytes.writeUInt32LE(edges[below(edges.length)] ?? 0, at)
    else if (kind < 0.85) bytes.writeUInt32LE(below(sound.length / BLOCK), at)
    else sound.copy(bytes, at, start + below(length / 4) * 4, start + length)
  }
  return bytes
}

describe.each(KINDS)('mutants of a file system with %s', (name, ...options) => {
  it('are refused by a rule, or nothing is dropped that is in use', async () => {
    const path = await makeExt(workshop, name.replaceAll(' ', '-'), 16, ['-b', '1024', ...options])
    const sound = await readFile(path)
    const places = await placesIn(path)
    expect(places.length).toBeGreaterThan(14)
    const free = new Set(await dropped(sound))
    const random = seededRandom(name.length)
    const rules = new Map<string, number>()

    for (let i = 0; i < MUTANTS; i += 1) {
      const mutant = mutate(sound, places, random)
      const file = memoryFile(mutant)
      const { extents, report } = await search(await raw.open(file, { maxVirtualSize: GiB }))
      const [volume] = report.partitions
      expect(file.reads, `mutant ${i}`).toBeLessThan(MOST_READS)
      const rule = volume?.trusted === false ? volume.rule : report.trusted ? 'trusted' : report.rule
      rules.set(rule, (rules.get(rule) ?? 0) + 1)
      if (rule !== 'trusted') {
        expect(extents.bytes, `mutant ${i}`).toBe(0)
        continue
      }
      const more = (await dropped(mutant)).filter((block) => !free.has(block))
      if (more.length > 0) {
        // Another file system than before, but a sound one: extents that have become unwritten.
        await tool('e2fsck', '-fn', await workshop.write('mutant', mutant))
      }
    }

    expect(rules.get('trusted')).toBeGreaterThan(MUTANTS / 50)
    expect(rules.size).toBeGreaterThan(name === 'checksums' ? 3 : 10)
  })
})

async function dropped(bytes: Buffer): Promise<number[]> {
  const { extents } = await search(await raw.open(memoryFile(bytes), { maxVirtualSize: GiB }))
  return [...extents].flatMap(({ offset, length }) =>
    Array.from({ length: length / BLOCK }, (_, i) => offset / BLOCK + i)
  )
}
