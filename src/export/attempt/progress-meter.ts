import type { SentPart, Upload } from '../../destinations/destination.ts'
import type { Disk } from '../../disks/disk.ts'
import { DestinationError } from '../../domain/destination-errors.ts'
import type { ScrubProgress } from '../../domain/scrub-report.ts'
import { NO_PROGRESS, type Phase, type Progress } from '../../domain/task.ts'
import type { Shipment } from '../../pipeline/shipment.ts'
import { Pace } from '../pace.ts'
import type { Clock } from '../ports.ts'
import { Bandwidth } from './bandwidth.ts'
import { SmoothedRate } from './smoothed-rate.ts'

const STALLED_MS = 60_000
/** After the destination has asked for a pause it counts as throttling for so long. */
const THROTTLED_MS = 10_000

/**
 * Adds up how far one attempt is. Its percentage is of the work, so that a file that is measured first is half done by then,
 * and it never goes back: not when a part is sent again, and not in the next attempt.
 */
export class ProgressMeter {
  readonly bandwidth: Bandwidth
  readonly #pace: Pace
  readonly #clock: Clock
  readonly #byteRate: SmoothedRate
  readonly #workRate: SmoothedRate
  #phase: Phase = 'preflight'
  #percent: number
  /** Of the work of this attempt, 0 to 1. */
  #share = 0
  #measured = false
  #total: number | null = null
  /** By this attempt. */
  #sent = 0
  #acked = 0
  /** What an earlier attempt has sent and this one need not. */
  #kept = 0
  #resent: number
  /** Bytes of a part that were sent in vain, by its number. */
  readonly #vain = new Map<number, number>()
  #data = 0
  #dataEnd = 0
  #virtualSize = 0
  #tookAt: number
  #throttledUntil = 0
  #scrub: ScrubProgress | undefined

  /**
   * @param earlier what an earlier attempt has come to
   * @param bytesPerSecond the most that may be sent; undefined for as much as can be
   * @param shared of all exports of the worker together
   */
  constructor(
    clock: Clock,
    { percent, resent = 0 }: Pick<Progress, 'percent' | 'resent'>,
    bytesPerSecond: number | undefined,
    shared: Bandwidth
  ) {
    this.bandwidth = new Bandwidth(bytesPerSecond)
    this.#pace = new Pace(this.bandwidth, shared)
    this.#clock = clock
    this.#percent = percent
    this.#resent = resent
    this.#byteRate = new SmoothedRate(clock)
    this.#workRate = new SmoothedRate(clock)
    this.#tookAt = clock()
  }

  get phase(): Phase {
    return this.#phase
  }

  /** Bytes that were sent again, by this attempt and those before it. */
  get resent(): number {
    return this.#resent
  }

  enter(phase: Phase): void {
    this.#phase = phase
    this.#tookAt = this.#clock()
  }

  /** What is so now; to be asked about once a second, as rates are made of what has changed since. */
  look(): Progress {
    const now = this.#clock()
    const transferring = this.#phase === 'transferring'
    const working = transferring || this.#phase === 'measuring'
    const bytesPerSecond = this.#byteRate.at(this.#sent)
    const sharePerSecond = this.#workRate.at(this.#share)
    const heldBack = this.#pace.wasHeldBack()
    const throttled = transferring && (heldBack || now < this.#throttledUntil)
    const zero = Math.max(0, this.#dataEnd - this.#data)
    return {
      ...NO_PROGRESS,
      phase: this.#phase,
      ...(this.#phase === 'scrubbing' && this.#scrub && { scrub: this.#scrub }),
      total: this.#total,
      sent: this.#kept + this.#sent,
      acked: this.#kept + this.#acked,
      ...(this.#resent > 0 && { resent: this.#resent }),
      data: this.#data,
      zero,
      percent: this.#percent,
      bytesPerSecond: transferring && bytesPerSecond !== null ? Math.round(bytesPerSecond) : null,
      secondsLeft: working && sharePerSecond ? Math.ceil((1 - this.#share) / sharePerSecond) : null,
      stalled: transferring && !throttled && now - this.#tookAt >= STALLED_MS,
      throttled,
      at: new Date().toISOString()
    }
  }

  /** What the scrub is at. What is begun anew another way counts as far as it had come. */
  readonly scrubbing = (progress: ScrubProgress): void => {
    this.#scrub = { ...progress, done: Math.max(progress.done, this.#scrub?.done ?? 0) }
  }

  /** The disk, with what is read of it counted. What a second pass reads again counts once. */
  watched(disk: Disk, dataBytes: number): Disk {
    this.#virtualSize = disk.virtualSize
    return {
      virtualSize: disk.virtualSize,
      extents: () => disk.extents(),
      read: async (target, offset) => {
        await disk.read(target, offset)
        this.#data = Math.min(dataBytes, this.#data + target.length)
        this.#dataEnd = Math.max(this.#dataEnd, offset + target.length)
      },
      [Symbol.asyncDispose]: () => disk[Symbol.asyncDispose]()
    }
  }

  /** Of the first of two passes. */
  readonly measuring = (share: number): void => this.#worked(share / 2)

  /** From now on the file is sent, but for the parts that an earlier attempt has. */
  sending(
    { length, exact, measured }: Pick<Shipment, 'length' | 'exact' | 'measured'>,
    kept: readonly SentPart[] = []
  ): void {
    this.#kept = kept.reduce((sum, { bytes }) => sum + bytes, 0)
    this.#measured = measured
    this.#total = exact ? length : null
    this.#worked(measured ? 0.5 : 0)
  }

  readonly share = (share: number): void => {
    if (share > this.#share) this.#tookAt = this.#clock() // parts that are kept pass without a byte to the destination
    this.#worked(this.#measured ? 0.5 + share / 2 : share)
    if (share === 1) this.#dataEnd = this.#virtualSize // whatever was not read has nothing but zeros
  }

  /**
   * The upload, with its bytes counted as the destination takes and confirms them, and no faster than is allowed.
   * @param begun numbers of the parts that an earlier attempt has begun
   */
  counted(upload: Upload, begun: ReadonlySet<number> = new Set()): Upload {
    const pace = this.#pace
    return {
      partBytes: upload.partBytes,
      parallel: upload.parallel,
      state: upload.state,
      putPart: async (part, body, signal) => {
        let taken = 0
        this.#resent += this.#vain.get(part.number) ?? (begun.has(part.number) ? part.length : 0)
        const count = (bytes: number) => {
          taken += bytes
          this.#took(bytes)
        }
        async function* counting() {
          for await (const chunk of body) {
            for await (const slice of pace.slices(chunk, signal)) {
              yield slice
              count(slice.length) // the upload asked again, so this slice is on its way
            }
          }
        }
        try {
          const sent = await upload.putPart(part, counting(), signal)
          this.#acked += part.length
          return sent
        } catch (error) {
          this.#sent -= taken // it is sent again, or not at all
          this.#vain.set(part.number, taken)
          if (error instanceof DestinationError && error.code === 'DEST_THROTTLED') {
            this.#throttledUntil = this.#clock() + THROTTLED_MS
          }
          throw error
        }
      },
      commit: (signal) => upload.commit(signal),
      abort: () => upload.abort()
    }
  }

  #took(bytes: number): void {
    this.#sent += bytes
    this.#tookAt = this.#clock()
  }

  #worked(share: number): void {
    this.#share = share
    this.#percent = Math.max(this.#percent, 100 * share)
  }
}
