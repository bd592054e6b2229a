import { createHash } from 'node:crypto'
import type { Part, Upload } from '../destinations/destination.ts'
import { type ByteSource, MiB } from '../domain/bytes.ts'
import { BufferPool } from './buffer-pool.ts'
import type { Buffers } from './buffers.ts'
import type { Engine } from './engine.ts'
import { type OnRead, type PackedSource, packedBody } from './pack-file.ts'
import type { Transferred } from './transfer.ts'

/** Parts being sent, or filled: memory holds them, as the length of each must be known before it is sent. */
const PARTS_UNDER_WAY = 2
/** And the one that waits for the head. */
const PARTS_HELD = PARTS_UNDER_WAY + 1
/** Parts are made of these, which come free one by one as they are sent. */
const PIECE_BYTES = MiB

/**
 * Compresses and sends in one pass, to an upload that takes parts in any order: what stands before the data depends on all of
 * it, so the parts of the head go last. The one that holds the end of the head and the beginning of the data waits for it.
 *
 * Where there is a head, the file cannot be hashed in its order without a second pass. Then the parts are hashed, and
 * `composite` is the SHA-256 of their digests joined in the file's order.
 */
export async function transferPacked(
  source: PackedSource,
  upload: Upload,
  engine: Pick<Engine, 'compressors' | 'buffers'>,
  signal: AbortSignal,
  onRead: OnRead
): Promise<Transferred> {
  const { headBytes } = source.packing
  const packer = source.packing.start()
  const whole = headBytes === 0 ? createHash('sha256') : undefined
  using parts = new PartSender(upload, engine.buffers, signal, { digests: !whole })
  try {
    let at = headBytes
    for await (const chunk of packedBody(source, packer, engine.compressors, parts.signal, onRead)) {
      whole?.update(chunk)
      await parts.write(at, chunk)
      at += chunk.length
    }
    const length = at
    at = 0
    for (const chunk of packer.head()) {
      await parts.write(at, chunk)
      at += chunk.length
    }
    if (at !== headBytes) throw new Error(`the head has ${at} bytes where ${headBytes} were planned`)
    const composite = await parts.finish(length)
    return {
      bytes: length,
      parts: Math.ceil(length / upload.partBytes),
      sha256: whole?.digest('hex') ?? null,
      composite: composite === null ? null : { sha256: composite, partBytes: upload.partBytes }
    }
  } catch (error) {
    throw await parts.fail(error)
  }
}

type Filling = { readonly pieces: Buffer[]; filled: number; end: number }

/** Fills parts with bytes that come in any order of runs, and sends each as soon as it is whole. */
class PartSender implements Disposable {
  readonly signal: AbortSignal
  readonly #upload: Upload
  readonly #failed = new AbortController()
  readonly #filling = new Map<number, Filling>()
  readonly #underWay = new Set<Promise<void>>()
  readonly #pool: BufferPool
  /** SHA-256 of every part by its place in the file, where they are asked for. */
  readonly #digests: Map<number, Buffer> | undefined

  constructor(upload: Upload, buffers: Buffers, signal: AbortSignal, asked: { readonly digests: boolean }) {
    this.#upload = upload
    this.#pool = new BufferPool(buffers, PIECE_BYTES, PARTS_HELD * Math.ceil(upload.partBytes / PIECE_BYTES))
    this.#digests = asked.digests ? new Map() : undefined
    this.signal = AbortSignal.any([signal, this.#failed.signal])
  }

  /** The bytes are copied: they are the caller's again when this returns. */
  async write(at: number, bytes: Uint8Array): Promise<void> {
    const { partBytes } = this.#upload
    for (let from = 0; from < bytes.length; ) {
      const index = Math.floor((at + from) / partBytes)
      const inPart = (at + from) % partBytes
      const inPiece = inPart % PIECE_BYTES
      const piece = bytes.subarray(from, from + Math.min(partBytes - inPart, PIECE_BYTES - inPiece))
      const part = this.#filling.get(index) ?? (await this.#start(index))
      const place = Math.floor(inPart / PIECE_BYTES)
      part.pieces[place] ??= await this.#pool.acquire(this.signal)
      part.pieces[place].set(piece, inPiece)
      part.filled += piece.length
      part.end = Math.max(part.end, inPart + piece.length)
      if (part.filled === partBytes) this.#send(index, part)
      from += piece.length
    }
  }

  /** Sends what is left; only the last part may be shorter. Gives the SHA-256 of the parts' digests, if there are any. */
  async finish(length: number): Promise<string | null> {
    for (const [index, part] of this.#filling) {
      const last = Math.ceil(length / this.#upload.partBytes) - 1
      if (index !== last || part.filled !== part.end) throw new Error(`part ${index + 1} has a gap`)
      this.#send(index, part)
    }
    await Promise.all(this.#underWay)
    if (!this.#digests) return null
    const inOrder = [...this.#digests].sort(([a], [b]) => a - b).map(([, digest]) => digest)
    return createHash('sha256').update(Buffer.concat(inOrder)).digest('hex')
  }

  /** Ends everything under way; gives what went wrong first. */
  async fail(error: unknown): Promise<unknown> {
    if (!this.signal.aborted) this.#failed.abort(error)
    await Promise.allSettled(this.#underWay)
    return this.signal.reason
  }

  async #start(index: number): Promise<Filling> {
    while (this.#underWay.size >= Math.min(PARTS_UNDER_WAY, this.#upload.parallel)) await Promise.race(this.#underWay)
    this.signal.throwIfAborted()
    const part = { pieces: [], filled: 0, end: 0 }
    this.#filling.set(index, part)
    return part
  }

  #send(index: number, { pieces, end }: Filling): void {
    this.#filling.delete(index)
    this.#digests?.set(index, digestOf(pieces, end))
    const part: Part = { number: index + 1, offset: index * this.#upload.partBytes, length: end }
    const put = this.#upload.putPart(part, this.#handOut(pieces, end), this.signal).then(
      () => {
        for (const piece of pieces.splice(0)) this.#pool.release(piece)
        this.#underWay.delete(put)
      },
      (error: unknown) => {
        this.#failed.abort(error)
        throw error
      }
    )
    put.catch(() => {}) // whoever waits for the parts meets it
    this.#underWay.add(put)
  }

  /** A piece is free again as soon as the next one is asked for. */
  async *#handOut(pieces: Buffer[], end: number): ByteSource {
    for (let at = 0; pieces[0]; at += PIECE_BYTES) {
      yield pieces[0].subarray(0, end - at)
      this.#pool.release(pieces[0])
      pieces.shift()
    }
  }

  [Symbol.dispose](): void {
    this.#pool[Symbol.dispose]()
  }
}

function digestOf(pieces: readonly Buffer[], end: number): Buffer {
  const digest = createHash('sha256')
  for (const [i, piece] of pieces.entries()) digest.update(piece.subarray(0, end - i * PIECE_BYTES))
  return digest.digest()
}
