import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { MiB } from '../../../src/domain/bytes.ts'
import { AllocationMap } from '../../../src/formats/allocation-map.ts'
import { packedQcow2 } from '../../../src/formats/packed-qcow2.ts'
import { createHashers } from '../../../src/hashing/hashers.ts'
import { Buffers } from '../../../src/pipeline/buffers.ts'
import { type Compressors, createCompressors } from '../../../src/pipeline/compressors.ts'
import { transferPacked } from '../../../src/pipeline/transfer-packed.ts'
import { CountedBuffers } from '../../support/counted-buffers.ts'
import { memoryUpload } from '../../support/memory-upload.ts'
import { mixedDisk } from '../../support/mixed-disk.ts'
import { NOTHING_MORE, sendingTo } from '../../support/sending.ts'

const PART_BYTES = 4 * MiB

describe('transferPacked', () => {
  let compressors: Compressors
  const hashers = createHashers(1)
  beforeAll(() => {
    compressors = createCompressors(2)
  })
  afterAll(() => Promise.all([compressors.close(), hashers.close()]))

  const noise = async () => {
    const size = 64 * MiB
    const disk = mixedDisk(size, [{ offset: 0, length: size, kind: 'noise' }])
    const codec = { name: 'zlib', level: 1, windowBits: 12 } as const
    return { disk, packing: packedQcow2(codec).packing(await AllocationMap.of(disk)) }
  }

  it('holds three parts in memory whatever the length, and gives all of it back', async () => {
    const source = await noise()
    const buffers = new CountedBuffers()
    let open = () => {}
    const opened = new Promise<void>((resolve) => {
      open = resolve
    })
    const { upload, state } = memoryUpload(source.packing.maxLength, {
      partBytes: PART_BYTES,
      parallel: 8,
      put: async (_part, body) => {
        await opened
        for await (const _chunk of body);
      }
    })
    const engine = { compressors, hashers, buffers }

    const transferring = transferPacked(source, sendingTo(upload), engine, NOTHING_MORE, () => {})
    while (state.underWay < 2) await sleep(10)
    await sleep(300)
    open()
    const { bytes } = await transferring

    expect(bytes).toBeGreaterThan(10 * PART_BYTES)
    expect(buffers.mostLent).toBeLessThanOrEqual(3 * PART_BYTES)
    expect(buffers.lent).toBe(0)
  })

  it('goes on when a destination does not ask on after the last byte of a part', async () => {
    const source = await noise()
    const buffers = new CountedBuffers()
    const { upload } = memoryUpload(source.packing.maxLength, {
      partBytes: PART_BYTES,
      parallel: 2,
      put: async (part, body) => {
        let left = part.length
        for await (const chunk of body) {
          left -= chunk.length
          if (left === 0) return
        }
      }
    })

    await transferPacked(source, sendingTo(upload), { compressors, hashers, buffers }, NOTHING_MORE, () => {})
    expect(buffers.lent).toBe(0)
  })

  it('ends with the first failure of a part, with nothing under way any more', async () => {
    const source = await noise()
    const { upload, state } = memoryUpload(source.packing.maxLength, {
      partBytes: PART_BYTES,
      parallel: 2,
      put: async (part, body) => {
        for await (const _chunk of body) if (part.number === 3) throw new Error('refused part 3')
      }
    })
    const engine = { compressors, hashers, buffers: new Buffers() }
    await expect(transferPacked(source, sendingTo(upload), engine, NOTHING_MORE, () => {})).rejects.toThrow(
      'refused part 3'
    )
    expect(state.underWay).toBe(0)
  })
})
