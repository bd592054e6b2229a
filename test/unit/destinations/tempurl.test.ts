import { readdirSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { UploadTarget } from '../../../src/destinations/destination.ts'
import { Staging } from '../../../src/destinations/tempurl/staging.ts'
import { createTempUrlDestination } from '../../../src/destinations/tempurl/tempurl.ts'
import { TempUrlUpload } from '../../../src/destinations/tempurl/upload.ts'
import type { TaskId } from '../../../src/domain/ids.ts'
import { StagingFull } from '../../../src/domain/temp-url-errors.ts'
import { describeDestination } from '../../contracts/destination.contract.ts'
import { uploadTarget } from '../../support/upload-target.ts'

const never = new AbortController().signal
const targetOf = (kind: 'virtual' | 'staged', length: number, change: Partial<UploadTarget> = {}) =>
  uploadTarget(`tempurl:///${kind}`, length, undefined, { virtual: kind === 'virtual', ...change })

async function start() {
  const dir = await mkdtemp(join(tmpdir(), 'exports-'))
  const anotherWorker = () => createTempUrlDestination({ dir, reserveBytes: 0 })
  return {
    destination: anotherWorker(),
    anotherWorker,
    atomic: true,
    marks: true,
    dir,
    target: (length: number) => targetOf('staged', length),
    read: ({ marks }: UploadTarget) => readFile(join(dir, marks.taskId, 'data')).catch(() => undefined),
    kept: () => readdirSync(dir).length,
    breakNextPart() {
      throw new Error('a folder does not break')
    },
    [Symbol.asyncDispose]: () => rm(dir, { recursive: true })
  }
}

describeDestination('tempurl', start, { faults: 'none' })

describe('a temporary URL', () => {
  let harness: Awaited<ReturnType<typeof start>>
  beforeEach(async () => {
    harness = await start()
  })
  afterEach(() => harness[Symbol.asyncDispose]())

  async function* body(length: number) {
    yield Buffer.alloc(length, 1)
  }

  it('of a virtual file keeps no byte of it, and knows that it is there', async () => {
    const { destination, dir } = harness
    const target = targetOf('virtual', 5_000_000)
    const upload = await destination.open(target, never)
    await upload.putPart({ number: 1, offset: 0, length: 5_000_000 }, body(5_000_000), never)
    expect(await destination.find(target, never)).toEqual({ status: 'absent' })

    expect((await upload.commit(never)).location).toBe(target.url.href)

    const { exportId, contentId } = target.marks
    expect(await destination.find(target, never)).toEqual({ status: 'present', length: 5_000_000, exportId, contentId })
    expect(await readdir(join(dir, target.marks.taskId))).toEqual(['virtual.json'])
    expect((await readFile(join(dir, target.marks.taskId, 'virtual.json'))).length).toBeLessThan(100)
    await destination.remove(target, never)
    expect(harness.kept()).toBe(0)
  })

  it('may not be shorter than was promised', async () => {
    for (const kind of ['virtual', 'staged'] as const) {
      const upload = await harness.destination.open(targetOf(kind, 10), never)
      await upload.putPart({ number: 1, offset: 0, length: 9 }, body(9), never)
      await expect(upload.commit(never)).rejects.toMatchObject({ code: 'DEST_INTEGRITY_MISMATCH' })
      await upload.abort()
    }
    expect(harness.kept()).toBe(0)
  })

  it('needs room for what is kept before it begins, and for every part where the length is not known', async () => {
    const full = createTempUrlDestination({ dir: harness.dir, reserveBytes: 2 ** 60 })
    await expect(full.open(targetOf('staged', 10), never)).rejects.toBeInstanceOf(StagingFull)
    const [check] = full.checks(targetOf('staged', 10))
    await expect(check?.run(never)).rejects.toBeInstanceOf(StagingFull)

    const upload = await full.open(targetOf('staged', 10, { exact: false }), never)
    await expect(upload.putPart({ number: 1, offset: 0, length: 9 }, body(9), never)).rejects.toBeInstanceOf(
      StagingFull
    )
    await upload.abort()

    const virtual = await full.open(targetOf('virtual', 10), never)
    await virtual.putPart({ number: 1, offset: 0, length: 10 }, body(10), never)
    await virtual.commit(never)
  })

  it('of a virtual file is gone on with: all that was confirmed stands, as nothing of it is kept', async () => {
    const target = targetOf('virtual', 20)
    const lost = await harness.destination.open(target, never)
    const sent = [await lost.putPart({ number: 1, offset: 0, length: 20 }, body(20), never)]

    const resumed = await harness.anotherWorker().resume?.(target, lost.state ?? {}, sent, never)
    await resumed?.upload.commit(never)

    expect(resumed?.kept).toEqual(sent)
    expect(await harness.destination.find(target, never)).toMatchObject({ status: 'present', length: 20 })
  })

  it('that is given up leaves what a later attempt has begun', async () => {
    const target = targetOf('staged', 10)
    const lost = await harness.destination.open(target, never)
    const next = await harness.anotherWorker().open(target, never)
    await next.putPart({ number: 1, offset: 0, length: 10 }, body(10), never)

    expect(await lost.abort()).toEqual(['partial file'])
    expect(await lost.abort()).toEqual([])
    await next.commit(never)

    expect((await harness.read(target))?.length).toBe(10)
  })

  it('takes no credentials', () => {
    const url = new URL('tempurl:///staged/x')
    expect(() => harness.destination.check(url, { kind: 'basic' })).toThrow('takes no credentials')
  })
})

describe.each(['virtual', 'staged'] as const)('a commit of a %s file that failed after it had its name', (kind) => {
  it('may be called again', async () => {
    const harness = await start()
    let broken = true
    class BreakingStaging extends Staging {
      override async sync(task: TaskId) {
        await super.sync(task)
        if (broken) throw Object.assign(new Error('EIO'), { code: 'EIO' })
      }
    }
    const staging = new BreakingStaging({ dir: harness.dir, reserveBytes: 0 })
    const target = targetOf(kind, 4)
    await staging.begin(target.marks.taskId, 'a.part')
    const upload = new TempUrlUpload(staging, target, 'a.part', { partBytes: 4, kept: [] })
    await upload.putPart(
      { number: 1, offset: 0, length: 4 },
      (async function* () {
        yield Buffer.from('mine')
      })(),
      never
    )

    await expect(upload.commit(never)).rejects.toThrow('EIO')
    broken = false
    expect(await upload.commit(never)).toEqual({ location: target.url.href })
    await upload.abort()

    expect(await staging.length(target.marks.taskId)).toBe(4)
    await harness[Symbol.asyncDispose]()
  })
})
