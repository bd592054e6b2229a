import { createHash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Disk } from '../../src/disks/disk.ts'
import { AllocationMap } from '../../src/formats/allocation-map.ts'
import type { PackedFormat } from '../../src/formats/packing.ts'
import { raw } from '../../src/formats/raw.ts'
import { createHashers } from '../../src/hashing/hashers.ts'
import { Buffers } from '../../src/pipeline/buffers.ts'
import { createCompressors } from '../../src/pipeline/compressors.ts'
import type { Engine } from '../../src/pipeline/engine.ts'
import { measure } from '../../src/pipeline/pack-file.ts'
import { transfer } from '../../src/pipeline/transfer.ts'
import { transferMeasured } from '../../src/pipeline/transfer-measured.ts'
import { transferPacked } from '../../src/pipeline/transfer-packed.ts'
import { memoryUpload } from '../support/memory-upload.ts'
import { type MixedRun, mixedDisk } from '../support/mixed-disk.ts'
import { qemuImg } from '../support/qemu-img.ts'
import { NOTHING_MORE, sendingTo } from '../support/sending.ts'

const MiB = 1 << 20
const never = new AbortController().signal

const DISKS: [string, number, MixedRun[]][] = [
  ['an empty disk', MiB, []],
  ['one sector', 512, [{ offset: 0, length: 512, kind: 'text' }]],
  ['text', 5 * MiB, [{ offset: 0, length: 5 * MiB, kind: 'text' }]],
  ['noise, which does not shrink', 3 * MiB, [{ offset: MiB, length: 2 * MiB, kind: 'noise' }]],
  ['zeros that are said to be data', 3 * MiB, [{ offset: 0, length: 3 * MiB, kind: 'zeros' }]],
  [
    'a bit of everything, up to a last sector that is odd',
    70 * MiB + 512,
    [
      { offset: 0, length: MiB + 512, kind: 'text' },
      { offset: 3 * MiB + 1024, length: 300_032, kind: 'noise' },
      { offset: 8 * MiB, length: 2 * MiB, kind: 'zeros' },
      { offset: 33 * MiB, length: 65_536, kind: 'text' },
      { offset: 40 * MiB, length: 3 * MiB, kind: 'mixed' },
      { offset: 70 * MiB, length: 512, kind: 'noise' }
    ]
  ]
]

/** The promises of packing.ts as tests, through both ways of sending. Every packed format calls this once. */
export function describePackedFormat(
  name: string,
  format: PackedFormat,
  options: { readonly qemuFormat: string; readonly checkable: boolean; unwrap?(file: Buffer): Buffer }
): void {
  describe(`${name} format`, () => {
    let folder: string
    let engine: Engine
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'packed-'))
      engine = { compressors: createCompressors(2), hashers: createHashers(1), buffers: new Buffers() }
    })
    afterAll(async () => {
      await engine.compressors.close()
      await engine.hashers.close()
      await rm(folder, { recursive: true })
    })

    const sent = async (disk: Disk, way: 'packed' | 'kept' | 'twice', upload: { partBytes: number }) => {
      const packing = format.packing(await AllocationMap.of(disk))
      const source = { packing, disk }
      if (way === 'packed') {
        const { upload: to, file } = memoryUpload(packing.maxLength, { ...upload, parallel: 4 })
        const result = await transferPacked(source, sendingTo(to), engine, NOTHING_MORE, () => {})
        return { result, packing, file: file.subarray(0, result.bytes) }
      }
      const buffers = new Buffers()
      if (way === 'twice') while (buffers.takeSpare(MiB)); // no memory to keep the first pass in
      const pass = { compressors: engine.compressors, signal: never, onRead() {} }
      const measured = await measure(source, buffers, pass)
      expect(measured.body.whole).toBe(way === 'kept')
      const { upload: to, file } = memoryUpload(measured.length, {})
      const result = await transferMeasured({ source, measured }, sendingTo(to), engine, NOTHING_MORE, () => {})
      return { result, packing, file }
    }
    const proveByQemu = async (disk: Disk, file: Buffer) => {
      const path = join(folder, 'out')
      const reference = join(folder, 'reference.raw')
      await writeFile(path, options.unwrap?.(file) ?? file)
      const plain = raw.layout(await AllocationMap.of(disk))
      const whole = memoryUpload(plain.length, {})
      await transfer({ layout: plain, disk }, sendingTo(whole.upload), engine, NOTHING_MORE, () => {})
      await writeFile(reference, whole.file)
      if (options.checkable) await qemuImg('check', '-q', '-f', options.qemuFormat, path)
      await qemuImg('compare', '-q', '-f', 'raw', '-F', options.qemuFormat, reference, path)
      return JSON.parse(await qemuImg('info', '--output=json', '-f', options.qemuFormat, path))['virtual-size']
    }

    it.each(DISKS)(
      'packs %s in one pass and in two, into the same bytes, which qemu-img finds right',
      async (_case, size, runs) => {
        const disk = mixedDisk(size, runs)
        const small = await sent(disk, 'packed', { partBytes: 100_000 })
        const large = await sent(disk, 'packed', { partBytes: 16 * MiB })
        const kept = await sent(disk, 'kept', { partBytes: 0 })
        const twice = await sent(disk, 'twice', { partBytes: 0 })

        expect(small.file.equals(large.file)).toBe(true)
        expect(kept.file.equals(large.file)).toBe(true)
        expect(twice.file.equals(large.file)).toBe(true)
        expect(large.result.bytes).toBeLessThanOrEqual(large.packing.maxLength)
        expect(await proveByQemu(disk, large.file)).toBe(size)
      }
    )

    it('says which digest it can: of the whole file, or of its parts where the head goes last', async () => {
      const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest()
      const disk = mixedDisk(5 * MiB, [{ offset: 0, length: 5 * MiB, kind: 'mixed' }])
      const once = await sent(disk, 'packed', { partBytes: 200_000 })
      const twice = await sent(disk, 'twice', { partBytes: 0 })
      const whole = sha256(twice.file).toString('hex')

      expect(twice.result).toMatchObject({ sha256: whole, composite: null })
      if (once.packing.headBytes === 0) {
        expect(once.result).toMatchObject({ sha256: whole, composite: null })
      } else {
        const digests: Buffer[] = []
        for (let at = 0; at < once.file.length; at += 200_000)
          digests.push(sha256(once.file.subarray(at, at + 200_000)))
        const composite = sha256(Buffer.concat(digests)).toString('hex')
        expect(once.result).toMatchObject({ sha256: null, composite: { sha256: composite, partBytes: 200_000 } })
      }
    })

    it('reads no hole, and takes no room for zeros', async () => {
      const disk = mixedDisk(512 * MiB, [{ offset: 256 * MiB, length: 4 * MiB, kind: 'zeros' }])
      const { file, packing } = await sent(disk, 'packed', { partBytes: MiB })
      expect(disk.reads.every(({ offset }) => offset >= 256 * MiB)).toBe(true)
      expect(file.length).toBeLessThan(packing.headBytes + 4 * MiB)
    })

    it('ends with the failure of the source, with nothing under way any more', async () => {
      const disk = mixedDisk(8 * MiB, [{ offset: 0, length: 8 * MiB, kind: 'text' }])
      const broken = {
        ...disk,
        read: async (target: Uint8Array, offset: number) => {
          if (offset >= 5 * MiB) throw new Error('bad sector')
          await disk.read(target, offset)
        }
      }
      await expect(sent(broken, 'packed', { partBytes: 100_000 })).rejects.toThrow('bad sector')
      await expect(sent(broken, 'twice', { partBytes: 0 })).rejects.toThrow('bad sector')
    })
  })
}
