import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AllocationMap } from '../../src/formats/allocation-map.ts'
import type { Format, Layout, Segment } from '../../src/formats/format.ts'
import { raw } from '../../src/formats/raw.ts'
import { memoryDisk, type Run } from './memory-disk.ts'
import { qemuImg } from './qemu-img.ts'

export const layoutOf = async (format: Format, virtualSize: number, runs: readonly Run[]): Promise<Layout> =>
  format.layout(await AllocationMap.of(memoryDisk(virtualSize, runs)))

/** The bytes [from, to) of a file where all of them are metadata. */
export function metadataOf(layout: Layout, from: number, to: number): Buffer {
  return Buffer.concat([...layout.segments(from, to)].map(metadata))
}

function metadata(segment: Segment): Uint8Array {
  if (segment.kind === 'disk') throw new Error(`data of the disk at ${segment.offset} where metadata was expected`)
  return segment.kind === 'bytes' ? segment.bytes : Buffer.alloc(segment.length)
}

/**
 * Writes a disk too large for memory, with holes for its zeros, and has qemu-img compare it with the same disk in raw.
 * @param windows what to compare, in sectors' bounds, when comparing all of it would take long: qemu reads the holes too
 * @returns what `qemu-img info` says of it
 */
export async function comparedByQemu(
  format: Format,
  qemuFormat: string,
  virtualSize: number,
  runs: readonly Run[],
  windows: readonly Run[] = [{ offset: 0, length: virtualSize }]
): Promise<Record<string, unknown>> {
  const folder = await mkdtemp(join(tmpdir(), 'sparse-'))
  try {
    const [path, reference] = [join(folder, 'out'), join(folder, 'reference')]
    await writeSparse(path, format, virtualSize, runs)
    await writeSparse(reference, raw, virtualSize, runs)
    for (const { offset, length } of windows) {
      const [ours, theirs] = [
        `file.driver=${qemuFormat},file.file.driver=file,file.file.filename=${path}`,
        `file.driver=file,file.filename=${reference}`
      ].map((file) => `driver=raw,offset=${offset},size=${length},${file}`)
      await qemuImg('compare', '-q', '--image-opts', ours ?? '', theirs ?? '')
    }
    return JSON.parse(await qemuImg('info', '--output=json', '-f', qemuFormat, path))
  } finally {
    await rm(folder, { recursive: true })
  }
}

async function writeSparse(path: string, format: Format, virtualSize: number, runs: readonly Run[]): Promise<void> {
  const disk = memoryDisk(virtualSize, runs)
  const layout = format.layout(await AllocationMap.of(disk))
  await using file = await open(path, 'w')
  await file.truncate(layout.length)
  let at = 0
  for (const segment of layout.segments(0, layout.length)) {
    const bytes = segment.kind === 'bytes' ? segment.bytes : Buffer.alloc(segment.kind === 'disk' ? segment.length : 0)
    if (segment.kind === 'disk') await disk.read(bytes, segment.offset)
    if (bytes.some((byte) => byte !== 0)) await file.write(bytes, 0, bytes.length, at)
    at += segment.kind === 'bytes' ? bytes.length : segment.length
  }
}
