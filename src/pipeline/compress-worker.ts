import { parentPort } from 'node:worker_threads'
import { constants, deflateRawSync, deflateSync, zstdCompressSync } from 'node:zlib'
import type { Codec } from '../formats/packing.ts'

/** Units of one batch, one after another in `input`; what becomes of them is written to `output`. Both go back. */
export type CompressJob = {
  readonly id: number
  readonly input: ArrayBuffer
  readonly output: ArrayBuffer
  readonly units: number
  readonly unitBytes: number
  readonly codec: Codec
  /** A unit that does not shrink is handed on as it is. */
  readonly storesUnpacked: boolean
}
/** `lengths`: packed bytes of every unit, 0 for one that is all zeros. */
export type CompressResult = Pick<CompressJob, 'id' | 'input' | 'output'> & {
  readonly lengths: Uint32Array<ArrayBuffer>
}

/** Most packed units fit one piece of this, so that nothing has to be joined. */
const PIECE_BYTES = 64 * 1024

const compressed = (bytes: Uint8Array, codec: Codec): Uint8Array => {
  const chunkSize = Math.min(bytes.length, PIECE_BYTES)
  return codec.name === 'zstd'
    ? zstdCompressSync(bytes, {
        chunkSize,
        pledgedSrcSize: bytes.length,
        params: { [constants.ZSTD_c_compressionLevel]: codec.level }
      })
    : (codec.name === 'zlib' ? deflateSync : deflateRawSync)(bytes, {
        chunkSize,
        level: codec.level,
        windowBits: codec.windowBits,
        memLevel: 9
      })
}

function compress(job: CompressJob): CompressResult {
  const { id, input, output, units, unitBytes, codec, storesUnpacked } = job
  const zeros = Buffer.alloc(unitBytes)
  const lengths = new Uint32Array(units)
  const out = new Uint8Array(output)
  let at = 0
  for (let i = 0; i < units; i++) {
    const unit = Buffer.from(input, i * unitBytes, unitBytes)
    if (unit.equals(zeros)) continue
    const packed = compressed(unit, codec)
    const chosen = storesUnpacked && packed.length >= unitBytes ? unit : packed
    out.set(chosen, at)
    lengths[i] = chosen.length
    at += chosen.length
  }
  return { id, input, output, lengths }
}

parentPort?.on('message', (job: CompressJob) => {
  const result = compress(job)
  parentPort?.postMessage(result, [result.input, result.output, result.lengths.buffer])
})
