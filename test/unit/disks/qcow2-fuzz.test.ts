import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { judgeMutants } from './mutants.ts'
import { tinyQcow2 } from './tiny-qcow2.ts'
import { seededRandom, Workshop } from './workshop.ts'

const SOUND = [
  'ok_qcow2_v2.qcow2',
  'ok_qcow2_v3.qcow2',
  'ok_qcow2_zlib.qcow2',
  'ok_qcow2_zstd.qcow2',
  'ok_qcow2_cluster512.qcow2',
  'ok_qcow2_refcount64.qcow2',
  'qcow2_internal_snapshots.qcow2',
  'qcow2_bitmap.qcow2'
]
/** What a mutant may cost: its tables are in a file of some 60 KiB, so it needs no more reads than this. */
const MOST_READS = 2000

let workshop: Workshop
beforeAll(async () => {
  workshop = await Workshop.open()
  await workshop.unpackFixtures()
})
afterAll(async () => {
  await workshop[Symbol.asyncDispose]()
})

/** Changes one to four places, mostly in the header and where tables begin, to values that hurt. */
function mutate(sound: Buffer, random: () => number): Buffer {
  const file = Buffer.from(sound)
  const below = (limit: number) => Math.floor(random() * limit)
  const clusterBytes = 2 ** file.readUInt32BE(20)
  const edge = [
    0n,
    1n,
    2n ** 31n,
    2n ** 32n - 1n,
    2n ** 53n,
    2n ** 55n,
    2n ** 63n,
    2n ** 64n - 512n,
    BigInt(file.length)
  ]
  for (let changes = 1 + below(4); changes > 0; changes -= 1) {
    const table = below(Math.floor(file.length / clusterBytes)) * clusterBytes
    const at = random() < 0.5 ? below(112) : Math.min(table + below(8) * 8, file.length - 8)
    const kind = random()
    if (kind < 0.3) file[at] = below(256)
    else if (kind < 0.5) file[at] = (file[at] ?? 0) ^ (1 << below(8))
    else if (kind < 0.7) file.writeBigUInt64BE(edge[below(edge.length)] ?? 0n, at)
    else if (kind < 0.8) file.writeUInt32BE(below(64), at)
    else
      file.writeBigUInt64BE(
        BigInt(below(file.length / clusterBytes) * clusterBytes) | (random() < 0.3 ? 1n << 62n : 0n),
        at
      )
  }
  return random() < 0.1 ? file.subarray(0, below(file.length)) : file
}

describe('mutants of sound images', () => {
  it.each([...SOUND, 'tiny zlib', 'tiny zstd'])(
    'of %s are read or refused as unsafe, and nothing else',
    async (name) => {
      const sound = name.startsWith('tiny')
        ? tinyQcow2(name === 'tiny zlib' ? 'zlib' : 'zstd')
        : await readFile(workshop.path(name))
      const random = seededRandom(name.length * 1000 + name.charCodeAt(9))
      const rules = await judgeMutants('qcow2', MOST_READS, () => mutate(sound, random))
      expect(rules.size).toBeGreaterThan(5)
    }
  )
})
