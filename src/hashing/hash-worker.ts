import { createHash, type Hash } from 'node:crypto'
import { parentPort } from 'node:worker_threads'
import type { Algorithm } from './hashers.ts'

/** `start` comes first, `end` last; the numbers name streams. */
export type HashRequest =
  | { readonly kind: 'start'; readonly stream: number; readonly algorithm: Algorithm }
  | { readonly kind: 'update'; readonly stream: number; readonly bytes: Uint8Array }
  | { readonly kind: 'end'; readonly stream: number; readonly ask: boolean }
/** Every update is answered, in order. */
export type HashAnswer =
  | { readonly kind: 'updated'; readonly stream: number }
  | { readonly kind: 'digest'; readonly stream: number; readonly hex: string }

const streams = new Map<number, Hash>()

function answer(request: HashRequest): HashAnswer | undefined {
  const { stream } = request
  if (request.kind === 'start') {
    streams.set(stream, createHash(request.algorithm))
    return undefined
  }
  const hash = streams.get(stream)
  if (!hash) throw new Error(`no hash ${stream} was started`)
  if (request.kind === 'update') {
    hash.update(request.bytes)
    return { kind: 'updated', stream }
  }
  streams.delete(stream)
  return request.ask ? { kind: 'digest', stream, hex: hash.digest('hex') } : undefined
}

parentPort?.on('message', (request: HashRequest) => {
  const result = answer(request)
  if (result) parentPort?.postMessage(result)
})
