import { createHash } from 'node:crypto'
import { parentPort } from 'node:worker_threads'
import { ContentHash } from './content-hash.ts'
import type { Algorithm } from './hashers.ts'

/** What a stream computes. */
export type HashKind =
  | { readonly algorithm: Algorithm }
  /** Bytes of the disk. */
  | { readonly algorithm: 'content'; readonly virtualSize: number }

/** `start` comes first, `end` last; the numbers name streams. `offset` matters to the content only. */
export type HashRequest =
  | { readonly kind: 'start'; readonly stream: number; readonly what: HashKind }
  | { readonly kind: 'update'; readonly stream: number; readonly bytes: Uint8Array; readonly offset: number }
  | { readonly kind: 'end'; readonly stream: number; readonly ask: boolean }
/** Every update is answered, in order. */
export type HashAnswer =
  | { readonly kind: 'updated'; readonly stream: number }
  | { readonly kind: 'digest'; readonly stream: number; readonly hex: string }
  | { readonly kind: 'ended'; readonly stream: number }

type Stream = { update(offset: number, bytes: Uint8Array): void; digest(): string }

const streams = new Map<number, Stream>()

function begin(what: HashKind): Stream {
  if (what.algorithm === 'content') return new ContentHash(what.virtualSize)
  const hash = createHash(what.algorithm)
  return { update: (_offset, bytes) => void hash.update(bytes), digest: () => hash.digest('hex') }
}

function answer(request: HashRequest): HashAnswer | undefined {
  const { stream } = request
  if (request.kind === 'start') {
    streams.set(stream, begin(request.what))
    return undefined
  }
  const hash = streams.get(stream)
  if (!hash) throw new Error(`no hash ${stream} was started`)
  if (request.kind === 'update') {
    hash.update(request.offset, request.bytes)
    return { kind: 'updated', stream }
  }
  streams.delete(stream)
  return request.ask ? { kind: 'digest', stream, hex: hash.digest() } : { kind: 'ended', stream }
}

parentPort?.on('message', (request: HashRequest) => {
  const result = answer(request)
  if (result) parentPort?.postMessage(result)
})
