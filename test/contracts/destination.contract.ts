import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Limits } from '../../src/destinations/connection.ts'
import type { Destination, UploadTarget } from '../../src/destinations/destination.ts'
import { KiB, MiB } from '../../src/domain/bytes.ts'
import { DestinationError } from '../../src/domain/destination-errors.ts'
import type { Fault } from '../support/fault-server.ts'
import { describeResume } from './resume.contract.ts'
import { CHUNK_BYTES, expected, never, partsOf, source } from './test-file.ts'

export type DestinationHarness = AsyncDisposable & {
  readonly destination: Destination
  /** True when nothing can be seen at the target before commit. */
  readonly atomic: boolean
  /** True when the marks of an export can be kept with the object. */
  readonly marks: boolean
  /** The destination as another worker has it, which shares nothing with this one. */
  anotherWorker(): Destination
  /** A new target of that length, its server in order. */
  target(length: number): UploadTarget
  /** What a reader of the target sees now; undefined when there is no object. */
  read(target: UploadTarget): Promise<Buffer | undefined>
  /** How many unfinished uploads and objects the server keeps. */
  kept(): number | Promise<number>
  /** The next request that carries a part gets this fault. */
  breakNextPart(fault: Fault): void
  /** The last step of the next commit is refused, or made without anybody hearing of it. Absent where it has no such step. */
  breakNextCommit?(how: 'refused' | 'unheard'): void
}

/** For a busy machine. */
export const PATIENT: Limits = { connectMs: 30_000, idleMs: 30_000, answerMs: 30_000 }
/** So that silence is noticed in a test's time. */
export const IMPATIENT: Limits = { connectMs: 30_000, idleMs: 2_000, answerMs: 2_000 }

/** The faults a harness can make: of a connection and of answers with a status, of a connection only, or none at all. */
type Faults = 'http' | 'connection' | 'none'

/**
 * The promises of destination.ts as tests. Every driver calls this once with its harness; `resumes` says whether its uploads
 * can be gone on with.
 */
export function describeDestination(
  name: string,
  start: (limits: Limits) => Promise<DestinationHarness>,
  { faults = 'http', resumes = true }: { readonly faults?: Faults; readonly resumes?: boolean } = {}
): void {
  describe(`${name} destination`, () => {
    let harness: DestinationHarness
    beforeEach(async () => {
      harness = await start(PATIENT)
    })
    afterEach(async () => {
      await harness[Symbol.asyncDispose]()
    })

    /** An upload of `length` bytes and its first part, the server in order. */
    const begin = async (length: number) => {
      const target = harness.target(length)
      const upload = await harness.destination.open(target, never())
      const [first] = partsOf(upload, length)
      if (first === undefined) throw new Error('an upload has at least one part')
      return { target, upload, first, body: source(first) }
    }

    const store = async (length: number) => {
      const target = harness.target(length)
      const upload = await harness.destination.open(target, never())
      // Last part first, then all the others at once, as many as the driver takes.
      const waiting = partsOf(upload, length)
      const last = waiting.pop()
      if (last) await upload.putPart(last, source(last), never())
      const lanes = Array.from({ length: upload.parallel }, async () => {
        for (let part = waiting.pop(); part; part = waiting.pop()) await upload.putPart(part, source(part), never())
      })
      await Promise.all(lanes)
      return { target, location: (await upload.commit(never())).location }
    }

    describe('when all goes well', () => {
      it.each([
        ['one byte', () => 1],
        ['a chunk', () => CHUNK_BYTES],
        ['a byte more than a chunk', () => CHUNK_BYTES + 1],
        ['a byte less than a part', (partBytes: number) => partBytes - 1],
        ['exactly a part', (partBytes: number) => partBytes],
        ['a byte more than a part', (partBytes: number) => partBytes + 1],
        ['several parts out of order and at once', (partBytes: number) => 5 * partBytes + 7]
      ])('stores %s', async (_, lengthOf) => {
        const probe = await harness.destination.open(harness.target(20 * MiB), never())
        const length = lengthOf(Math.min(probe.partBytes, 16 * MiB))
        await probe.abort()

        const { target, location } = await store(length)

        expect(location).toBe(target.url.href)
        expect((await harness.read(target))?.equals(expected(length))).toBe(true)
        expect(await harness.kept()).toBe(1)
      })

      it('shows nothing before commit, where it can', async () => {
        const { target, upload, first, body } = await begin(100 * KiB)

        await upload.putPart(first, body, never())

        expect((await harness.read(target)) === undefined).toBe(harness.atomic)
        await upload.commit(never())
        expect((await harness.read(target))?.length).toBe(100 * KiB)
      })

      it('keeps what was committed when it is aborted afterwards', async () => {
        const { target, upload, first, body } = await begin(10)
        await upload.putPart(first, body, never())
        await upload.commit(never())

        await upload.abort()

        expect((await harness.read(target))?.equals(expected(10))).toBe(true)
      })

      it('closes the source', async () => {
        const { upload, first, body } = await begin(10)

        await upload.putPart(first, body, never())

        expect(body.closed).toBe(true)
      })
    })

    describe('abort', () => {
      it('may be called before anything was sent, and again', async () => {
        const { upload } = await begin(10)

        await upload.abort()
        await upload.abort()

        expect(await harness.kept()).toBe(0)
      })

      it('removes what was sent', async () => {
        const { target, upload, first, body } = await begin(100 * KiB)
        await upload.putPart(first, body, never())

        await upload.abort()
        await upload.abort()

        expect(await harness.kept()).toBe(0)
        expect(await harness.read(target)).toBeUndefined()
      })

      it('ends a part under way', async () => {
        const { upload, first, body } = await begin(16 * MiB)
        let ended = false
        let endedBeforeAbort: Promise<boolean> | undefined
        body.onAsked = () => {
          if (body.asked === 5) endedBeforeAbort = upload.abort().then(() => ended)
        }

        const sent = upload.putPart(first, body, never()).finally(() => {
          ended = true
        })

        await expect(sent).rejects.toThrow('aborted')
        expect(await endedBeforeAbort).toBe(true)
        expect(body.asked).toBeLessThan(first.length / CHUNK_BYTES)
        expect(await harness.kept()).toBe(0)
      })
    })

    describe('discard', () => {
      it('removes what a dead worker left, and may be repeated', async () => {
        const { target, upload, first, body } = await begin(100 * KiB)
        await upload.putPart(first, body, never())
        if (upload.state === null) throw new Error('this upload leaves something and has no state')

        await harness.destination.discard({ ...target, length: 0 }, upload.state, never())
        await harness.destination.discard({ ...target, length: 0 }, upload.state, never())

        expect(await harness.kept()).toBe(0)
        expect(await harness.read(target)).toBeUndefined()
      })
    })

    describeResume(() => harness, resumes)

    describe('what stands there', () => {
      const readAll = async (target: UploadTarget, range: { from: number; to: number }): Promise<Buffer> => {
        const chunks: Buffer[] = []
        for await (const chunk of harness.destination.read(target, range, never())) chunks.push(Buffer.from(chunk))
        return Buffer.concat(chunks)
      }

      it('is nothing before, the object afterwards, and nothing once it was removed, which may be repeated', async () => {
        const before = harness.target(100 * KiB)
        expect(await harness.destination.find(before, never())).toEqual({ status: 'absent' })

        const { target } = await store(100 * KiB)
        expect(await harness.destination.find(target, never())).toEqual({
          status: 'present',
          length: 100 * KiB,
          exportId: harness.marks ? target.marks.exportId : undefined,
          contentId: harness.marks ? target.marks.contentId : undefined
        })

        await harness.destination.remove(target, never())
        await harness.destination.remove(target, never())
        expect(await harness.destination.find(target, never())).toEqual({ status: 'absent' })
        expect(await harness.kept()).toBe(0)
      })

      it('can be read back, whole and in ranges', async () => {
        const length = 300 * KiB + 1
        const { target } = await store(length)

        expect((await readAll(target, { from: 0, to: length })).equals(expected(length))).toBe(true)
        expect((await readAll(target, { from: 1, to: 2 })).equals(expected(2).subarray(1))).toBe(true)
        expect(
          (await readAll(target, { from: length - 70_000, to: length })).equals(expected(length).subarray(-70_000))
        ).toBe(true)
      })

      it('cannot be read when there is nothing', async () => {
        await expect(readAll(harness.target(10), { from: 0, to: 10 })).rejects.toBeInstanceOf(DestinationError)
      })
    })

    describe('checks', () => {
      it('pass at a place in order, each once, and leave nothing behind', async () => {
        const checks = harness.destination.checks(harness.target(100 * MiB))

        for (const { run } of checks) await run(never())

        const ids = checks.map(({ id }) => id)
        expect(ids.length).toBeGreaterThan(0)
        expect(new Set(ids).size).toBe(ids.length)
        expect(await harness.kept()).toBe(0)
      })
    })

    describe('the source', () => {
      it('rejects with its error and leaves nothing after abort', async () => {
        const { target, upload, first } = await begin(1 * MiB)
        const dies = async function* () {
          yield Buffer.alloc(1000)
          throw new Error('source died')
        }

        await expect(upload.putPart(first, dies(), never())).rejects.toThrow('source died')
        await upload.abort()

        expect(await harness.kept()).toBe(0)
        expect(await harness.read(target)).toBeUndefined()
      })

      it.each([
        ['fewer bytes', 2000, 1999],
        ['more bytes', 2000, 2001],
        ['a further chunk', CHUNK_BYTES, CHUNK_BYTES + 1]
      ])('may not give %s than promised', async (_, promised, given) => {
        const { upload, first } = await begin(promised)
        const wrong = source({ ...first, length: given })

        await expect(upload.putPart(first, wrong, never())).rejects.toMatchObject({ code: 'SOURCE_READ_FAILED' })
        await upload.abort()

        expect(await harness.kept()).toBe(0)
      })

      it('is not read any more once the signal has fired', async () => {
        const { upload, first, body } = await begin(16 * MiB)
        const stop = new AbortController()
        const reason = new Error('lease lost')
        body.onAsked = () => {
          if (body.asked === 5) stop.abort(reason)
        }

        await expect(upload.putPart(first, body, stop.signal)).rejects.toBe(reason)
        const askedThen = body.asked
        await new Promise((resolve) => setTimeout(resolve, 50))

        expect(askedThen).toBe(5)
        expect(body.asked).toBe(askedThen)
        await upload.abort()
        expect(await harness.kept()).toBe(0)
      })

      if (faults !== 'none') {
        it('is not read any more when the signal fires while nothing is taken', async () => {
          const { upload, first, body } = await begin(16 * MiB)
          harness.breakNextPart({ kind: 'stall' })
          const stop = new AbortController()
          const sent = upload.putPart(first, body, stop.signal)
          sent.catch(() => {})
          for (let before = -1; before !== body.asked || before === 0; ) {
            before = body.asked
            await new Promise((resolve) => setTimeout(resolve, 200))
          }
          const askedThen = body.asked

          stop.abort(new Error('lease lost'))

          await expect(sent).rejects.toThrow('lease lost')
          expect(body.asked).toBe(askedThen)
          expect(askedThen).toBeLessThan(first.length / CHUNK_BYTES)
          await upload.abort()
        })
      }

      it('is not read at all when the signal fired before', async () => {
        const { upload, first, body } = await begin(10)

        await expect(upload.putPart(first, body, AbortSignal.abort(new Error('too late')))).rejects.toThrow('too late')

        expect(body.asked).toBe(0)
        await upload.abort()
      })
    })

    if (faults === 'none') return

    describe('when the destination', () => {
      const broken: [string, Fault, object][] = [
        ['resets', { kind: 'reset', afterBytes: 1 * MiB }, { code: 'DEST_UNREACHABLE', permanent: false }],
        ['takes no bytes', { kind: 'stall' }, { code: 'DEST_UNREACHABLE', permanent: false }],
        ['never answers', { kind: 'hang' }, { code: 'DEST_UNREACHABLE', permanent: false }]
      ]
      const answered: [string, Fault, object][] = [
        ['refuses', { kind: 'answer', status: 403 }, { code: 'DEST_FORBIDDEN', permanent: true }],
        ['is overloaded', { kind: 'answer', status: 503 }, { code: 'DEST_THROTTLED', permanent: false }],
        [
          'claims success early',
          { kind: 'answer', status: 200 },
          { code: 'DEST_INTEGRITY_MISMATCH', permanent: false }
        ],
        [
          'redirects',
          { kind: 'answer', status: 307, headers: { location: 'http://169.254.169.254/latest/' } },
          { code: 'DEST_REJECTED', permanent: true }
        ]
      ]
      it.each(faults === 'http' ? [...broken, ...answered] : broken)(
        '%s, it says so and stops reading',
        async (_, fault, failure) => {
          if (fault.kind === 'stall' || fault.kind === 'hang') {
            await harness[Symbol.asyncDispose]()
            harness = await start(IMPATIENT)
          }
          const { upload, first, body } = await begin(16 * MiB)
          harness.breakNextPart(fault)

          const error = await upload.putPart(first, body, never()).catch((thrown: unknown) => thrown)
          const askedThen = body.asked
          await new Promise((resolve) => setTimeout(resolve, 50))

          expect(error).toBeInstanceOf(DestinationError)
          expect(error).toMatchObject(failure)
          expect(body.asked).toBe(askedThen)
          if (fault.kind !== 'hang') expect(body.asked).toBeLessThan(first.length / CHUNK_BYTES)
          await upload.abort()
          expect(await harness.kept()).toBe(0)
        }
      )

      if (faults === 'http') {
        it('sends an endless refusal, it is read in part only', async () => {
          const { upload, first, body } = await begin(1000)
          harness.breakNextPart({ kind: 'endless answer', status: 403 })

          await expect(upload.putPart(first, body, never())).rejects.toMatchObject({ code: 'DEST_FORBIDDEN' })
          await upload.abort()
        })
      }

      if (faults === 'http') {
        it('refuses, the error names the host and nothing secret', async () => {
          const { target, upload, first, body } = await begin(1000)
          harness.breakNextPart({
            kind: 'answer',
            status: 403,
            body: '<Error><Code>Hostile</Code>hostile text</Error>'
          })

          const error = await upload.putPart(first, body, never()).catch((thrown: unknown) => thrown)

          const { message } = error as DestinationError
          const secrets = Object.values(target.credentials?.unwrap() ?? {}).filter((value) =>
            String(value).includes('secret')
          )
          expect(message).toContain('127.0.0.1')
          for (const hidden of ['?', 'ostile', target.url.pathname, ...secrets])
            expect(message).not.toContain(String(hidden))
          await upload.abort()
        })
      }

      it.each(['refused', 'unheard'] as const)('has %s the commit, it may be called again', async (how) => {
        if (!harness.breakNextCommit)
          return expect(harness.atomic, 'what is seen before needs no last step').toBe(false)
        const { target, upload, first, body } = await begin(100 * KiB)
        await upload.putPart(first, body, never())
        harness.breakNextCommit(how)

        await expect(upload.commit(never())).rejects.toMatchObject({ permanent: false })
        const { location } = await upload.commit(never())
        await upload.abort()

        expect(location).toBe(target.url.href)
        expect((await harness.read(target))?.equals(expected(100 * KiB))).toBe(true)
        expect(await harness.kept()).toBe(1)
      })

      it('failed once, the same part may be sent again', async () => {
        const { target, upload, first, body } = await begin(1 * MiB)
        harness.breakNextPart({ kind: 'reset', afterBytes: 1 })
        await expect(upload.putPart(first, body, never())).rejects.toBeInstanceOf(DestinationError)

        await upload.putPart(first, source(first), never())
        await upload.commit(never())

        expect((await harness.read(target))?.equals(expected(1 * MiB))).toBe(true)
      })
    })
  })
}
