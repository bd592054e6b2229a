import { expect, it } from 'vitest'
import { MiB, TiB } from '../../../src/domain/bytes.ts'
import { AllocationMap } from '../../../src/formats/allocation-map.ts'
import { createFormats } from '../../../src/formats/registry.ts'
import { memoryDisk } from '../../support/memory-disk.ts'

it.each([...createFormats().values()].map((family) => [family.name, family] as const))(
  'the limit that %s tells is the one it has',
  async (_name, family) => {
    const format = family.choose({})
    const plan = async (virtualSize: number) => {
      const map = await AllocationMap.of(memoryDisk(virtualSize, []))
      return 'layout' in format ? format.layout(map) : format.packing(map)
    }

    await expect(plan(family.maxVirtualSize ?? 4096 * TiB)).resolves.toBeDefined()
    if (family.maxVirtualSize === null) return
    await expect(plan(family.maxVirtualSize + MiB)).rejects.toMatchObject({
      code: 'FORMAT_LIMIT_EXCEEDED',
      message: expect.stringContaining(String(family.maxVirtualSize))
    })
  }
)
