import { Worker } from 'node:worker_threads'
import type { HashAnswer, HashKind, HashRequest } from './hash-worker.ts'

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

/** The hash of a disk's content (see content-hash.ts), of bytes with their place on the disk, front to back. */
export interface ContentStream extends Disposable {
  update(offset: number, bytes: Uint8Array, done: () => void): void
  digest(): Promise<string>
}

/** Threads that hash, shared by everybody in a process: a digest costs more than everything else that is done to a byte. */
export interface Hashers {
  start(algorithm: Algorithm): StreamHash
  /** @param virtualSize bytes of the disk */
  startContent(virtualSize: number): ContentStream
  close(): Promise<void>
}

type Stream = {
  /** Of updates that are not answered yet. */
  readonly done: (() => void)[]
  ended: boolean
  resolve?(hex: string): void
  reject?(error: unknown): void
}

/** Threads are started when they are first needed, at most `threads` of them; a stream stays with its thread. */
export function createHashers(threads: number): Hashers {
  const pool: Thread[] = []
  let nextStream = 0
  const newThread = () => {
    const thread: Thread = new Thread(() => {
      if (pool.includes(thread)) pool.splice(pool.indexOf(thread), 1)
    })
    pool.push(thread)
    return thread
  }
  const start = (what: HashKind) => {
    const idle = pool.find(({ load }) => load === 0)
    return (idle ?? (pool.length < threads ? newThread() : leastLoaded(pool))).start(nextStream++, what)
  }
  return {
    start(algorithm) {
      const { update, ...stream } = start({ algorithm })
      return { ...stream, update: (bytes, done) => update(0, bytes, done) }
    },
    startContent: (virtualSize) => start({ algorithm: 'content', virtualSize }),
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
  readonly #onDeath: () => void

  constructor(onDeath: () => void) {
    this.#onDeath = onDeath
    this.#worker.on('message', (answer: HashAnswer) => this.#take(answer))
    this.#worker.on('error', (error) => this.#fail(error))
    this.#worker.on('exit', () => this.#fail(new Error('a hashing thread ended')))
  }

  /** Streams it works on. */
  get load(): number {
    return this.#streams.size
  }

  start(id: number, what: HashKind): ContentStream {
    const stream: Stream = { done: [], ended: false }
    this.#streams.set(id, stream)
    this.#send({ kind: 'start', stream: id, what })
    const end = (ask: boolean) => {
      stream.ended = true
      this.#send({ kind: 'end', stream: id, ask })
    }
    return {
      update: (offset, bytes, done) => {
        if (stream.ended) return done() // given up, or its thread has died, which `digest` says
        stream.done.push(done)
        this.#update(id, offset, bytes)
      },
      digest: () =>
        new Promise((resolve, reject) => {
          if (stream.ended) throw new Error('the hashing of this stream has ended')
          Object.assign(stream, { resolve, reject })
          end(true)
        }),
      [Symbol.dispose]() {
        if (!stream.ended) end(false)
      }
    }
  }

  async end(): Promise<void> {
    this.#worker.removeAllListeners('exit')
    this.#fail(new Error('hashing has ended'))
    await this.#worker.terminate()
  }

  #update(stream: number, offset: number, bytes: Uint8Array): void {
    if (bytes.buffer instanceof SharedArrayBuffer) {
      this.#send({ kind: 'update', stream, bytes, offset })
      return
    }
    const copy = new Uint8Array(bytes)
    this.#worker.postMessage({ kind: 'update', stream, bytes: copy, offset } satisfies HashRequest, [copy.buffer])
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
    if (answer.kind === 'digest') stream?.resolve?.(answer.hex)
  }

  #fail(error: unknown): void {
    this.#onDeath()
    for (const stream of this.#streams.values()) {
      stream.ended = true
      for (const done of stream.done) done()
      stream.reject?.(error)
    }
    this.#streams.clear()
  }
}
