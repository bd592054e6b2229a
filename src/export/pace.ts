import { KiB, MiB } from '../domain/bytes.ts'
import type { Bandwidth } from './attempt/bandwidth.ts'

/** One slice takes about so long, so that a slow upload goes on evenly and nobody takes it for stalled. */
const SLICE_SECONDS = 0.05
const SMALLEST_SLICE_BYTES = 16 * KiB

/**
 * Lets one export's bytes pass no faster than the export may, and no faster than all exports of its worker may together.
 * Of these, each has one slice in the queue at most: so they take turns, however many parts each has under way.
 */
export class Pace {
  readonly #own: Bandwidth
  readonly #shared: Bandwidth
  #lastTurn: Promise<unknown> = Promise.resolve()
  #heldBack = false

  constructor(own: Bandwidth, shared: Bandwidth) {
    this.#own = own
    this.#shared = shared
  }

  /** Whether it had to wait since this was asked last. */
  wasHeldBack(): boolean {
    const held = this.#own.wasHeldBack() || this.#heldBack
    this.#heldBack = false
    return held
  }

  /** The same bytes in pieces, each as soon as it may go. Rejects when `signal` fires. */
  async *slices(chunk: Uint8Array, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < chunk.length; ) {
      const rate = Math.min(this.#own.bytesPerSecond, this.#shared.bytesPerSecond)
      const bytes = Math.max(SMALLEST_SLICE_BYTES, Math.min(MiB, rate * SLICE_SECONDS))
      const slice = Number.isFinite(rate) ? chunk.subarray(at, at + bytes) : chunk.subarray(at)
      await this.#own.take(slice.length, signal)
      await this.#takeTurn(slice.length, signal)
      yield slice
      at += slice.length
    }
  }

  async #takeTurn(bytes: number, signal: AbortSignal): Promise<void> {
    if (!Number.isFinite(this.#shared.bytesPerSecond)) return
    const turn = this.#lastTurn.then(() => this.#shared.take(bytes, signal))
    this.#lastTurn = turn.catch(() => {}) // who waits behind it goes on
    if (await turn) this.#heldBack = true
  }
}
