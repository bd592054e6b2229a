import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, describe, expect, it } from 'vitest'
import { KiB, MiB } from '../../../src/domain/bytes.ts'
import { AllocationMap } from '../../../src/formats/allocation-map.ts'
import { qcow2 } from '../../../src/formats/qcow2.ts'
import { createHashers } from '../../../src/hashing/hashers.ts'
import { Buffers } from '../../../src/pipeline/buffers.ts'
import { transfer } from '../../../src/pipeline/transfer.ts'
import { memoryDisk, type Run } from '../../support/memory-disk.ts'
import { memoryUpload } from '../../support/memory-upload.ts'
import { NOTHING_MORE, sendingTo } from '../../support/sending.ts'

async function prepared(virtualSize: number, runs: Run[]) {
  const disk = memoryDisk(virtualSize, runs)
  const layout = qcow2().layout(await AllocationMap.of(disk))
  return { disk, layout }
}

const RUNS = [
  { offset: 0, length: 3 * MiB },
  { offset: 10 * MiB + 512, length: 700 * KiB }
]
const hashers = createHashers(1)
const engine = { hashers, buffers: new Buffers() }
afterAll(() => hashers.close())

describe('transfer', () => {
  it.each([
    ['one body', { parallel: 1 }],
    ['parts one after another', { partBytes: MiB, parallel: 1 }],
    ['parts side by side', { partBytes: 300_000, parallel: 4 }]
  ])('sends the same file and its hash in %s', async (_case, options) => {
    const source = await prepared(16 * MiB, RUNS)
    const { upload, file, state } = memoryUpload(source.layout.length, options)
    let sent = 0

    const { sha256, parts } = await transfer(source, sendingTo(upload), engine, NOTHING_MORE, (bytes) => {
      sent += bytes
    })

    const whole = memoryUpload(source.layout.length, {})
    await transfer(await prepared(16 * MiB, RUNS), sendingTo(whole.upload), engine, NOTHING_MORE, () => {})
    expect(file.equals(whole.file)).toBe(true)
    expect(sha256).toBe(createHash('sha256').update(file).digest('hex'))
    expect([sent, parts]).toEqual([source.layout.length, state.parts])
    expect(state.mostUnderWay).toBeLessThanOrEqual(options.parallel)
    if (options.parallel === 4) expect(state.mostUnderWay).toBe(4)
  })

  it.each([
    ['of a file in parts', 32, { partBytes: 16 * MiB, parallel: 100 }],
    ['of a file in one body', 6, { parallel: 1 }]
  ])('reads no further than the buffers %s while the destination takes nothing', async (_case, mebibytes, options) => {
    const { disk, layout } = await prepared(256 * MiB, [{ offset: 0, length: 256 * MiB }])
    const stop = new AbortController()
    const readBytes = () => disk.reads.reduce((sum, { length }) => sum + length, 0)
    const { upload } = memoryUpload(0, {
      partBytes: layout.length,
      ...options,
      put: (_part, _body, signal) =>
        new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    })

    const transferring = transfer({ disk, layout }, sendingTo(upload, stop.signal), engine, NOTHING_MORE, () => {})
    let before = -1
    while (readBytes() !== before) {
      before = readBytes()
      await sleep(200)
    }
    stop.abort(new Error('enough'))

    await expect(transferring).rejects.toThrow('enough')
    expect(before).toBeGreaterThan((mebibytes - 3) * MiB)
    expect(before).toBeLessThanOrEqual(mebibytes * MiB)
  })

  it('runs no further ahead in a file that has nothing to read', async () => {
    const { disk } = await prepared(MiB, [])
    let made = 0
    const layout = {
      length: 1024 * 1024 * MiB,
      *segments(from: number, to: number) {
        for (let at = from; at < to; at += MiB) {
          made++
          yield { kind: 'zero', length: MiB } as const
        }
      }
    }
    const stop = new AbortController()
    const { upload } = memoryUpload(0, {
      partBytes: layout.length,
      put: (_part, _body, signal) =>
        new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    })

    const transferring = transfer({ disk, layout }, sendingTo(upload, stop.signal), engine, NOTHING_MORE, () => {})
    let before = -1
    while (made !== before) {
      before = made
      await sleep(200)
    }
    stop.abort(new Error('enough'))

    await expect(transferring).rejects.toThrow('enough')
    expect(before).toBeGreaterThan(32)
    expect(before).toBeLessThanOrEqual(64 + 4)
  })

  it('does not read far ahead of the hash', async () => {
    const { disk, layout } = await prepared(64 * MiB, [{ offset: 0, length: 64 * MiB }])
    const unread: (() => void)[] = []
    const slowHash = { update: (_bytes: Uint8Array, done: () => void) => unread.push(done), digest: async () => '' }
    const slow = { ...hashers, start: () => ({ ...slowHash, [Symbol.dispose]() {} }) }
    const { upload, state } = memoryUpload(layout.length, { partBytes: 16 * MiB, parallel: 4 })

    const transferring = transfer(
      { disk, layout },
      sendingTo(upload),
      { ...engine, hashers: slow },
      NOTHING_MORE,
      () => {}
    )
    await sleep(300)
    expect(unread.length).toBe(4)
    expect(disk.reads.length).toBeLessThanOrEqual(8)

    const hashing = setInterval(() => unread.shift()?.(), 1)
    await transferring
    clearInterval(hashing)
    expect(state.parts).toBe(Math.ceil(layout.length / (16 * MiB)))
  })

  it('ends with the first failure of a part, with nothing under way any more', async () => {
    const source = await prepared(64 * MiB, [{ offset: 0, length: 64 * MiB }])
    const made = memoryUpload(source.layout.length, {
      partBytes: MiB,
      parallel: 3,
      put: async (part, body) => {
        for await (const _chunk of body) if (part.number === 2) throw new Error('refused part 2')
      }
    })
    await expect(transfer(source, sendingTo(made.upload), engine, NOTHING_MORE, () => {})).rejects.toThrow(
      'refused part 2'
    )
    expect(made.state.underWay).toBe(0)
    expect(made.state.parts).toBeLessThan(10)
  })

  it('ends with the failure of the source', async () => {
    const source = await prepared(64 * MiB, [{ offset: 0, length: 64 * MiB }])
    const disk = {
      ...source.disk,
      read: async (target: Uint8Array, offset: number) => {
        if (offset > 5 * MiB) throw new Error('bad sector')
        await source.disk.read(target, offset)
      }
    }
    const made = memoryUpload(source.layout.length, { partBytes: MiB, parallel: 2 })
    await expect(
      transfer({ disk, layout: source.layout }, sendingTo(made.upload), engine, NOTHING_MORE, () => {})
    ).rejects.toThrow('bad sector')
    expect(made.state.underWay).toBe(0)
  })

  it('ends with the reason of the signal', async () => {
    const source = await prepared(64 * MiB, [{ offset: 0, length: 64 * MiB }])
    const stop = new AbortController()
    const made = memoryUpload(source.layout.length, { partBytes: MiB, parallel: 2 })
    const reason = new Error('lease lost')
    let sent = 0
    const transferring = transfer(source, sendingTo(made.upload, stop.signal), engine, NOTHING_MORE, (bytes) => {
      sent += bytes
      if (sent > 3 * MiB) stop.abort(reason)
    })
    await expect(transferring).rejects.toBe(reason)
    expect(made.state.underWay).toBe(0)
    expect(sent).toBeLessThan(source.layout.length)
  })
})
