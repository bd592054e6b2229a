import { createHash } from 'node:crypto'
import type { Part } from '../destinations/destination.ts'
import { type ByteSource, MiB } from '../domain/bytes.ts'
import { BufferPool } from './buffer-pool.ts'
import type { Buffers } from './buffers.ts'
import type { Sending } from './sending.ts'

/** Parts being sent, or filled: memory holds them, as the length of each must be known before it is sent. */
const PARTS_UNDER_WAY = 2
/** Of larger ones only one: memory is what is short then. */
const LARGE_PART_BYTES = 128 * MiB
/** Parts are made of these. */
const PIECE_BYTES = MiB

type Filling = { readonly pieces: Buffer[]; filled: number; end: number }

/**
 * Fills parts with bytes that come in any order of runs, and sends each as soon as it is whole. A part stays in memory until
 * the destination has taken it, so it can be sent again.
 */
export class PartSender implements Disposable {
  readonly signal: AbortSignal
  readonly #sending: Sending
  readonly #failed = new AbortController()
  readonly #filling = new Map<number, Filling>()
  readonly #underWay = new Set<Promise<void>>()
  readonly #pool: BufferPool
  readonly #most: number
  /** SHA-256 of every part by its place in the file, where they are asked for. */
  readonly #digests: Map<number, Buffer> | undefined

  constructor(sending: Sending, buffers: Buffers, asked: { readonly digests: boolean }) {
    this.#sending = sending
    const { parallel, partBytes } = sending.upload
    this.#most = Math.min(parallel, partBytes > LARGE_PART_BYTES ? 1 : PARTS_UNDER_WAY)
    // And the one that waits for the head.
    this.#pool = new BufferPool(buffers, PIECE_BYTES, (this.#most + 1) * Math.ceil(partBytes / PIECE_BYTES))
    this.#digests = asked.digests ? new Map() : undefined
    this.signal = AbortSignal.any([sending.signal, this.#failed.signal])
  }

  /** The bytes are copied: they are the caller's again when this returns. */
  async write(at: number, bytes: Uint8Array): Promise<void> {
    const { upload, draining } = this.#sending
    const { partBytes } = upload
    if (draining?.aborted) {
      await Promise.all(this.#underWay)
      throw draining.reason
    }
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

  /** Sends what is left; only the last part may be shorter. Gives the SHA-256 of the parts' digests, if they were asked for. */
  async finish(length: number): Promise<string | null> {
    for (const [index, part] of this.#filling) {
      const last = Math.ceil(length / this.#sending.upload.partBytes) - 1
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
    while (this.#underWay.size >= this.#most) await Promise.race(this.#underWay)
    this.signal.throwIfAborted()
    const part = { pieces: [], filled: 0, end: 0 }
    this.#filling.set(index, part)
    return part
  }

  #send(index: number, { pieces, end }: Filling): void {
    this.#filling.delete(index)
    this.#digests?.set(index, digestOf(pieces, end))
    const { upload } = this.#sending
    const sent = this.#untilTaken({ number: index + 1, offset: index * upload.partBytes, length: end }, pieces).then(
      () => {
        for (const piece of pieces.splice(0)) this.#pool.release(piece)
        this.#underWay.delete(sent)
      },
      (error: unknown) => {
        this.#failed.abort(error)
        throw error
      }
    )
    sent.catch(() => {}) // whoever waits for the parts meets it
    this.#underWay.add(sent)
  }

  #untilTaken(part: Part, pieces: readonly Buffer[]): Promise<unknown> {
    const { upload, retries } = this.#sending
    let given = 0
    async function* body(): ByteSource {
      for (const piece of inPart(pieces, part.length)) {
        yield piece
        given += piece.length
      }
    }
    const putPart = () => {
      given = 0
      return upload.putPart(part, body(), this.signal)
    }
    return retries.run(this.signal, putPart, () => given)
  }

  [Symbol.dispose](): void {
    this.#pool[Symbol.dispose]()
  }
}

/** The pieces of a part that ends at `end`. */
const inPart = (pieces: readonly Buffer[], end: number): Buffer[] =>
  pieces.map((piece, i) => piece.subarray(0, end - i * PIECE_BYTES))

function digestOf(pieces: readonly Buffer[], end: number): Buffer {
  const digest = createHash('sha256')
  for (const piece of inPart(pieces, end)) digest.update(piece)
  return digest.digest()
}
