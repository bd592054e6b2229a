/** The parts of one upload that are being sent, so that `abort` can stop them before it removes what they sent. */
export class PartsUnderWay {
  readonly #stop = new AbortController()
  readonly #running = new Set<Promise<unknown>>()

  /** Runs `send` with a signal that fires with `signal` or with `stop`. */
  async run<T>(signal: AbortSignal, send: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const sending = send(AbortSignal.any([signal, this.#stop.signal]))
    this.#running.add(sending)
    try {
      return await sending
    } finally {
      this.#running.delete(sending)
    }
  }

  /** Ends what is under way and returns when nothing is sent any more. */
  async stop(): Promise<void> {
    this.#stop.abort(new Error('The upload was aborted.'))
    await Promise.allSettled(this.#running)
  }
}
