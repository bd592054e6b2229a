import { createHash } from 'node:crypto'
import type { Disk } from '../disks/disk.ts'
import type { ByteSource } from '../domain/bytes.ts'
import type { Frame, Packer, Packing } from '../formats/packing.ts'
import type { Buffers } from './buffers.ts'
import type { Compressors } from './compressors.ts'
import { KeptBody } from './kept-body.ts'
import { type PackedBatch, packUnits } from './pack-units.ts'
import type { UnitsContent } from './units-content.ts'

export type PackedSource = { readonly packing: Packing; readonly disk: Disk }
/** How a pass over the disk is made, and who learns from it. */
export type Pass = {
  readonly compressors: Compressors
  readonly signal: AbortSignal
  /** Told of bytes of the disk as they are read and packed. */
  onRead(bytes: number): void
  readonly content?: UnitsContent | undefined
}

/** Everything after the head, in order; the packer then knows the head. Chunks are borrowed (ByteSource). */
export async function* packedBody(
  source: PackedSource,
  packer: Packer,
  { compressors, signal, onRead, content }: Pass
): ByteSource & AsyncGenerator<Uint8Array> {
  const { unitBytes } = source.packing.units
  const digest = createHash('sha256')
  let file = Buffer.allocUnsafe(0)
  for await (const batch of packUnits(source, compressors, signal)) {
    const frames = framesOf(batch, packer)
    const length = lengthOf(frames, batch)
    if (file.length < length) file = Buffer.allocUnsafe(length * 2)
    assemble(frames, batch, file)
    await content?.take(batch.units, unitBytes, batch.plain)
    batch.release()
    const chunk = file.subarray(0, length)
    if (source.packing.tailHoldsDigest) digest.update(chunk)
    onRead(batch.units.length * unitBytes)
    if (length > 0) yield chunk
  }
  yield* packer.tail((more) => {
    for (const bytes of more) digest.update(bytes)
    return digest.digest('hex')
  })
}

/** What one pass over the disk tells: the whole file's length, its head, and its body where there is memory to keep it. */
export type Measured = { readonly length: number; readonly packer: Packer; readonly body: KeptBody }

/** Compresses everything once. What it keeps is the caller's to dispose of. */
export async function measure(source: PackedSource, buffers: Buffers, pass: Pass): Promise<Measured> {
  const packer = source.packing.start()
  const body = new KeptBody(buffers)
  let length = source.packing.headBytes
  try {
    for await (const chunk of packedBody(source, packer, pass)) {
      body.add(chunk)
      length += chunk.length
    }
    return { length, packer, body }
  } catch (error) {
    body[Symbol.dispose]()
    throw error
  }
}

const framesOf = (batch: PackedBatch, packer: Packer): Frame[] =>
  batch.units.map((unit, i) => packer.add(unit, batch.lengths[i] ?? 0))

const lengthOf = (frames: readonly Frame[], { lengths }: PackedBatch): number =>
  frames.reduce((sum, { before, zerosAfter }, i) => sum + before.length + (lengths[i] ?? 0) + zerosAfter, 0)

function assemble(frames: readonly Frame[], { lengths, bytes }: PackedBatch, into: Buffer): void {
  let from = 0
  let at = 0
  for (const [i, { before, zerosAfter }] of frames.entries()) {
    into.set(before, at)
    at += before.length
    const length = lengths[i] ?? 0
    into.set(bytes.subarray(from, from + length), at)
    from += length
    at += length
    into.fill(0, at, at + zerosAfter)
    at += zerosAfter
  }
}
