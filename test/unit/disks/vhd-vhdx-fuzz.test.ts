import { describe, expect, it } from 'vitest'
import { KiB, MiB } from '../../../src/domain/bytes.ts'
import { judgeMutants } from './mutants.ts'
import * as tinyVhd from './tiny-vhd.ts'
import * as tinyVhdx from './tiny-vhdx.ts'
import { seededRandom } from './workshop.ts'

/** What a mutant may cost. */
const MOST_READS = 500

type Subject = {
  readonly format: string
  readonly sound: Buffer
  readonly seal: (file: Buffer) => Buffer
  /** Where fields are, each with how many bytes of them. */
  readonly places: readonly (readonly [at: number, bytes: number])[]
  readonly bigEndian: boolean
}

const SUBJECTS: Subject[] = [
  {
    format: 'vhd',
    sound: tinyVhd.tinyVhd(),
    seal: tinyVhd.seal,
    places: [
      [0, 96],
      [tinyVhd.DYNAMIC_HEADER, 64],
      [tinyVhd.BAT, 16],
      ...tinyVhd.PLACES.map((at) => [at, 128] as const)
    ],
    bigEndian: true
  },
  {
    format: 'vhdx',
    sound: tinyVhdx.tinyVhdx(),
    seal: tinyVhdx.seal,
    places: [
      ...tinyVhdx.HEADERS.map((at) => [at, 80] as const),
      ...tinyVhdx.REGION_TABLES.map((at) => [at, 80] as const),
      [tinyVhdx.BAT, 32],
      [tinyVhdx.METADATA, 192],
      [tinyVhdx.METADATA + 64 * KiB, 40]
    ],
    bigEndian: false
  }
]

/** Changes one to three fields to values that hurt; checksums are mostly right again afterwards. */
function mutate({ sound, seal, places, bigEndian, format }: Subject, random: () => number): Buffer {
  const file = Buffer.from(sound)
  const below = (limit: number) => Math.floor(random() * limit)
  const unit = format === 'vhd' ? 512 : MiB
  const edge = [0n, 1n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 53n, 2n ** 63n, 2n ** 64n - BigInt(unit), BigInt(file.length)]
  for (let changes = 1 + below(3); changes > 0; changes -= 1) {
    const [start = 0, bytes = 8] = places[below(places.length)] ?? []
    const at = start + below(bytes / 4) * 4
    const kind = random()
    if (kind < 0.3) file[at + below(4)] = below(256)
    else if (kind < 0.5) file[at + below(4)] = (file[at + below(4)] ?? 0) ^ (1 << below(8))
    else {
      const value = kind < 0.75 ? (edge[below(edge.length)] ?? 0n) : BigInt(below(file.length / unit) * unit + below(8))
      if (bigEndian) file.writeBigUInt64BE(value, at)
      else file.writeBigUInt64LE(value, at)
    }
  }
  // The second of a pair is mostly like the first, or no mutant of a region table would get past the comparison.
  if (format === 'vhdx' && random() < 0.8) {
    const [table, copy] = tinyVhdx.REGION_TABLES
    file.copy(file, copy, table, table + 64 * KiB)
  }
  if (random() < 0.9) seal(file)
  return random() < 0.1 ? file.subarray(0, below(file.length)) : file
}

describe('mutants of a sound image', () => {
  it.each(SUBJECTS)('of $format are read or refused as unsafe, and nothing else', async (subject) => {
    const random = seededRandom(subject.format.length)
    const rules = await judgeMutants(subject.format, MOST_READS, () => mutate(subject, random))
    expect(rules.size).toBeGreaterThan(10)
  })
})
