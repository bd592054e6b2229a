import { describe, expect, it } from 'vitest'
import { TiB } from '../../../src/domain/bytes.ts'
import { AllocationMap } from '../../../src/formats/allocation-map.ts'
import { qcow2 } from '../../../src/formats/qcow2.ts'
import { describeFormat } from '../../contracts/format.contract.ts'
import { memoryDisk } from '../../support/memory-disk.ts'

const qemu = { qemuFormat: 'qcow2', checkable: true }
describeFormat('qcow2', qcow2(), { ...qemu, maxSectors: 4096, runs: 30 })
// The smallest clusters make several refcount blocks, L1 clusters and L2 tables out of a small disk.
describeFormat('qcow2 with clusters of 512 bytes', qcow2(9), { ...qemu, maxSectors: 20_000, runs: 60 })

describe('qcow2 layout', () => {
  it('needs nothing but runs for a disk of 1 TiB, and 64 KiB clusters for what they hold', async () => {
    const disk = memoryDisk(TiB, [
      { offset: 0, length: 1 << 20 },
      { offset: TiB - 512, length: 512 }
    ])
    const layout = qcow2().layout(await AllocationMap.of(disk))

    // header, refcount table and block, L1 (2048 entries), two L2 tables, 17 data clusters
    expect(layout.length).toBe((1 + 1 + 1 + 1 + 2 + 17) * 65536)
  })

  it('refuses a disk that its L1 table could not map', async () => {
    const map = await AllocationMap.of(memoryDisk(4096 * TiB, []))
    expect(() => qcow2().layout(map)).toThrow(expect.objectContaining({ code: 'FORMAT_LIMIT_EXCEEDED' }))
  })
})
