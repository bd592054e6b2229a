import { describe, expect, it } from 'vitest'
import { judgeMutants } from './mutants.ts'
import * as tinyVdi from './tiny-vdi.ts'
import * as tinyVmdk from './tiny-vmdk.ts'
import { seededRandom } from './workshop.ts'

/** What a mutant may cost: even one that maps every sector of its file needs no more reads than this. */
const MOST_READS = 1000

/** A sound file, and the places of it where fields are, each with its number of bytes. */
type Subject = {
  readonly name: string
  readonly declared: string
  readonly sound: Buffer
  readonly fields: readonly (readonly [at: number, bytes: number])[]
}

const stream = tinyVmdk.tinyStream()
const fromEnd = (place: number) => stream.length + place
const SUBJECTS: Subject[] = [
  {
    name: 'a sparse vmdk',
    declared: 'vmdk',
    sound: tinyVmdk.tinySparse(),
    fields: [
      [0, 80],
      [tinyVmdk.DESCRIPTOR, 400],
      [tinyVmdk.SPARE, 8],
      [tinyVmdk.DIRECTORY, 8],
      [tinyVmdk.TABLE, 24]
    ]
  },
  {
    name: 'a stream of vmdk',
    declared: 'vmdk',
    sound: stream,
    fields: [
      [0, 80],
      [tinyVmdk.DATA, 64],
      [fromEnd(tinyVmdk.FROM_END.table), 24],
      [fromEnd(tinyVmdk.FROM_END.directory), 8],
      [fromEnd(tinyVmdk.FROM_END.footerMarker), 16],
      [fromEnd(tinyVmdk.FROM_END.footer), 80],
      [fromEnd(-512), 16]
    ]
  },
  {
    name: 'vdi',
    declared: 'vdi',
    sound: tinyVdi.tinyVdi(),
    fields: [
      [0x40, 0x14],
      [0x154, 0x74],
      [tinyVdi.BMAP, 16]
    ]
  }
]

/** Changes one to three fields to values that hurt. */
function mutate({ sound, fields }: Subject, random: () => number): Buffer {
  const file = Buffer.from(sound)
  const below = (limit: number) => Math.floor(random() * limit)
  const edge = [0n, 1n, 127n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 53n, 2n ** 55n + 1n, 2n ** 63n, 2n ** 64n - 1n]
  for (let changes = 1 + below(3); changes > 0; changes -= 1) {
    const [start = 0, bytes = 8] = fields[below(fields.length)] ?? []
    const at = start + below(bytes / 4) * 4
    const byte = at + below(4)
    const kind = random()
    if (kind < 0.3) file[byte] = below(256)
    else if (kind < 0.5) file[byte] = (file[byte] ?? 0) ^ (1 << below(8))
    else if (kind < 0.7) file.writeBigUInt64LE(edge[below(edge.length)] ?? 0n, at)
    else file.writeUInt32LE(kind < 0.9 ? below(file.length / 512) : below(8), at)
  }
  return random() < 0.1 ? file.subarray(0, below(file.length)) : file
}

describe('mutants of sound images', () => {
  it.each(SUBJECTS)('of $name are read or refused as unsafe, and nothing else', async (subject) => {
    const random = seededRandom(subject.name.length)
    const rules = await judgeMutants(subject.declared, MOST_READS, () => mutate(subject, random))
    expect(rules.size).toBeGreaterThan(9)
  })
})
