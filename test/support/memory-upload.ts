import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import type { Part, Upload } from '../../src/destinations/destination.ts'
import type { ByteSource } from '../../src/domain/bytes.ts'

type Store = (part: Part, body: ByteSource) => Promise<void>

/** An upload into memory; `put` may be replaced to misbehave, and is given the way that behaves. */
export function memoryUpload(
  length: number,
  options: {
    partBytes?: number
    parallel?: number
    put?: (part: Part, body: ByteSource, signal: AbortSignal, store: Store) => Promise<void>
  }
) {
  const file = Buffer.alloc(length, 0xee)
  const state = { underWay: 0, mostUnderWay: 0, parts: 0 }
  const store: Store = async (part, body) => {
    let at = part.offset
    for await (const chunk of body) {
      file.set(chunk, at)
      at += chunk.length
      await sleep(0)
    }
    expect(at).toBe(part.offset + part.length)
  }
  const upload: Upload = {
    partBytes: options.partBytes ?? length,
    parallel: options.parallel ?? 1,
    state: null,
    async putPart(part, body, signal) {
      state.parts++
      state.mostUnderWay = Math.max(state.mostUnderWay, ++state.underWay)
      await (options.put ?? store)(part, body, signal, store).finally(() => state.underWay--)
      return { number: part.number, bytes: part.length }
    },
    commit: async () => ({ location: '' }),
    abort: async () => []
  }
  return { upload, file, state }
}
