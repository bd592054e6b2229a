import { Worker } from 'node:worker_threads'
import type { HashAnswer, HashRequest } from './hash-worker.ts'

export type Algorithm = 'md5' | 'sha256' | 'sha512'

/**
 * The digest of bytes that come one after another.
 *
 * `update` returns at once and tells `done` when the bytes have been read: until then they must not change. Bytes in shared
 * memory are read where they lie, others are copied. `digest` ends the stream; lower-case hex. Disposing gives it up.
 */
export interface StreamHash extends Disposable {
  update(bytes: Uint8Array, done: () => void): void
  digest(): Promise<string>
}

/** Threads that hash, shared by everybody in a process: a digest costs more than everything else that is done to a byte. */
export interface Hashers {
  start(algorithm: Algorithm): StreamHash
  close(): Promise<void>
}

type Stream = { readonly done: (() => void)[]; resolve?(hex: string): void; reject?(error: unknown): void }

/** Threads are started when they are first needed, at most `threads` of them; a stream stays with its thread. */
export function createHashers(threads: number): Hashers {
  const pool: Thread[] = []
  let nextStream = 0
  return {
    start(algorithm) {
      const idle = pool.find(({ load }) => load === 0)
      const thread = idle ?? (pool.length < threads ? new Thread() : leastLoaded(pool))
      if (!pool.includes(thread)) pool.push(thread)
      return thread.start(nextStream++, algorithm, () => pool.splice(pool.indexOf(thread), 1))
    },
    close: async () => {
      await Promise.all(pool.splice(0).map((thread) => thread.end()))
    }
  }
}

const leastLoaded = (pool: readonly Thread[]): Thread =>
  pool.reduce((least, thread) => (thread.load < least.load ? thread : least))

class Thread {
  readonly #worker = new Worker(new URL('./hash-worker.ts', import.meta.url))
  readonly #streams = new Map<number, Stream>()
  #onDeath = () => {}

  constructor() {
    this.#worker.on('message', (answer: HashAnswer) => this.#take(answer))
    this.#worker.on('error', (error) => this.#fail(error))
    this.#worker.on('exit', () => this.#fail(new Error('a hashing thread ended')))
  }

  /** Streams it works on. */
  get load(): number {
    return this.#streams.size
  }

  start(id: number, algorithm: Algorithm, onDeath: () => void): StreamHash {
    const stream: Stream = { done: [] }
    this.#streams.set(id, stream)
    this.#onDeath = onDeath
    this.#send({ kind: 'start', stream: id, algorithm })
    const giveUp = () => {
      if (this.#streams.delete(id)) this.#send({ kind: 'end', stream: id, ask: false })
    }
    return {
      update: (bytes, done) => {
        stream.done.push(done)
        if (this.#streams.has(id)) this.#update(id, bytes)
      },
      digest: () =>
        new Promise((resolve, reject) => {
          if (!this.#streams.has(id)) throw new Error('the hashing thread of this stream has ended')
          Object.assign(stream, { resolve, reject })
          this.#send({ kind: 'end', stream: id, ask: true })
        }),
      [Symbol.dispose]: giveUp
    }
  }

  async end(): Promise<void> {
    this.#worker.removeAllListeners('exit')
    this.#fail(new Error('hashing has ended'))
    await this.#worker.terminate()
  }

  #update(stream: number, bytes: Uint8Array): void {
    if (bytes.buffer instanceof SharedArrayBuffer) {
      this.#send({ kind: 'update', stream, bytes })
      return
    }
    const copy = new Uint8Array(bytes)
    this.#worker.postMessage({ kind: 'update', stream, bytes: copy } satisfies HashRequest, [copy.buffer])
  }

  #send(request: HashRequest): void {
    this.#worker.postMessage(request)
  }

  #take(answer: HashAnswer): void {
    const stream = this.#streams.get(answer.stream)
    if (answer.kind === 'updated') {
      stream?.done.shift()?.()
      return
    }
    this.#streams.delete(answer.stream)
    stream?.resolve?.(answer.hex)
  }

  #fail(error: unknown): void {
    this.#onDeath()
    for (const stream of this.#streams.values()) {
      for (const done of stream.done) done()
      stream.reject?.(error)
    }
    this.#streams.clear()
  }
}
