import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { taskId } from '../../src/domain/ids.ts'
import type { Log } from '../../src/export/ports.ts'
import type { QueueBackend } from '../../src/queue/backend.ts'
import { createExportQueue } from '../../src/queue/export-queue.ts'
import { startExportWorker, type WorkerUses } from '../../src/queue/export-worker.ts'

const quiet: Log = { info() {}, warn() {}, error() {} }
const aBell = (epoch = 0) => ({ taskId: taskId(randomUUID()), epoch })

/** What the service relies on of a doorbell, on whatever BullMQ keeps its jobs in. */
export function describeQueue(
  name: string,
  prepare: () => Promise<{ backend: QueueBackend; close(): Promise<void> }>
): void {
  describe(`queue on ${name}`, () => {
    let place: Awaited<ReturnType<typeof prepare>>
    let open: { close(): Promise<void> }[]
    beforeEach(async () => {
      place = await prepare()
      open = []
    })
    afterEach(async () => {
      for (const part of open.reverse()) await part.close()
      await place.close()
    })

    const aQueue = () => {
      const queue = createExportQueue(place.backend, quiet)
      open.push(queue)
      return queue
    }
    const aWorker = async (uses: Partial<WorkerUses>) => {
      const defaults = {
        backend: place.backend,
        concurrency: 2,
        sweepMs: 60_000,
        sweep: async () => {},
        tidy: async () => {},
        log: quiet
      }
      const worker = await startExportWorker({ ...defaults, runNext: async () => 'idle', ...uses })
      open.push(worker)
      return worker
    }

    it('wakes a worker once for every ring, also for those from before it started', async () => {
      const queue = aQueue()
      let runs = 0
      await queue.ring(aBell())
      const counted = async () => {
        runs++
        return 'idle' as const
      }
      await aWorker({ runNext: counted })
      await Promise.all(Array.from({ length: 9 }, () => queue.ring(aBell())))
      await expect.poll(() => runs, { timeout: 20_000 }).toBe(10)
      await sleep(300)
      expect(runs).toBe(10)
    })

    it('lets the operator hear why no task could be taken, and goes on answering', async () => {
      const queue = aQueue()
      const heard: object[] = []
      let runs = 0
      const runNext = async () => {
        if (++runs === 1) throw new Error('permission denied for table tasks')
        return 'idle' as const
      }
      await aWorker({ runNext, log: { ...quiet, error: (data) => heard.push(data) } })

      await queue.ring(aBell())
      await expect.poll(() => heard, { timeout: 10_000 }).toHaveLength(1)
      await queue.ring(aBell())

      await expect.poll(() => runs, { timeout: 10_000 }).toBe(2)
      expect(heard).toEqual([{ err: expect.objectContaining({ message: 'permission denied for table tasks' }) }])
    })

    it('rings again for the same task with a new epoch while the old job is held by somebody', async () => {
      const queue = aQueue()
      let runs = 0
      const held = Promise.withResolvers<void>()
      await aWorker({
        runNext: async () => {
          if (++runs === 1) await held.promise
          return 'idle'
        }
      })
      const bell = aBell()
      await queue.ring(bell)
      await expect.poll(() => runs, { timeout: 10_000 }).toBe(1)
      await queue.ring(bell) // the same job: nothing new
      await queue.ring({ ...bell, epoch: 1 })
      await expect.poll(() => runs, { timeout: 10_000 }).toBe(2)
      held.resolve()
    })

    it('looks for the next task as soon as it has run one, without a ring', async () => {
      const left = ['ran', 'ran', 'ran', 'idle'] as const
      let runs = 0
      await aWorker({ runNext: async () => left[runs++] ?? 'idle' })

      await aQueue().ring(aBell())

      await expect.poll(() => runs, { timeout: 10_000 }).toBe(4)
      await sleep(200)
      expect(runs).toBe(4)
    })

    it('never runs more exports at once than it may', async () => {
      const queue = aQueue()
      let now = 0
      let most = 0
      let runs = 0
      await aWorker({
        concurrency: 2,
        runNext: async () => {
          most = Math.max(most, ++now)
          await sleep(20)
          now--
          return ++runs % 2 ? 'ran' : 'idle'
        }
      })

      await Promise.all(Array.from({ length: 8 }, () => queue.ring(aBell())))

      await expect.poll(() => runs, { timeout: 20_000 }).toBeGreaterThanOrEqual(8)
      expect(most).toBe(2)
    })

    it('rings again for a task whose ring a worker holds that was given another', async () => {
      const queue = aQueue()
      let runs = 0
      const held = Promise.withResolvers<void>()
      await aWorker({
        runNext: async () => {
          if (++runs === 1) await held.promise
          return 'idle'
        }
      })
      const bell = aBell()
      await queue.ring(bell)
      await expect.poll(() => runs, { timeout: 10_000 }).toBe(1)

      await queue.ringAgain([bell])

      await expect.poll(() => runs, { timeout: 10_000 }).toBe(2)
      held.resolve()
    })

    it('keeps one ring of a task that waits, however often it is rung again', async () => {
      const queue = aQueue()
      const bell = aBell()
      await queue.ring(bell)
      for (let sweep = 0; sweep < 3; sweep++) await queue.ringAgain([bell])
      let runs = 0
      await aWorker({
        runNext: async () => {
          runs++
          return 'idle'
        }
      })

      await queue.ring(aBell())

      await expect.poll(() => runs, { timeout: 10_000 }).toBe(2)
      await sleep(300)
      expect(runs).toBe(2)
    })

    it('tells running exports to stop when it closes, and waits for them', async () => {
      const queue = aQueue()
      const started = Promise.withResolvers<void>()
      let ended = 0
      const worker = await aWorker({
        runNext: async (stopping) => {
          started.resolve()
          await new Promise((resolve) => stopping.addEventListener('abort', resolve))
          await sleep(100)
          ended++
          return 'ran'
        }
      })
      await queue.ring(aBell())
      await started.promise
      await worker.close()
      expect(ended).toBe(1) // and it has not looked for another
    })

    it('sweeps once more when its runs have ended, so that others hear of what was handed back', async () => {
      const queue = aQueue()
      const started = Promise.withResolvers<void>()
      const events: string[] = []
      const worker = await aWorker({
        sweep: async () => {
          events.push('sweep')
        },
        runNext: async (stopping) => {
          started.resolve()
          await new Promise((resolve) => stopping.addEventListener('abort', resolve))
          events.push('handed back')
          return 'ran'
        }
      })
      await queue.ring(aBell())
      await started.promise

      await worker.close()

      expect(events).toEqual(['sweep', 'handed back', 'sweep'])
    })

    it('goes on after a run that failed, and sweeps again and again', async () => {
      const queue = aQueue()
      let runs = 0
      let sweeps = 0
      await aWorker({
        sweepMs: 20,
        sweep: async () => {
          if (++sweeps === 2) throw new Error('the database is away')
        },
        runNext: async () => {
          if (++runs === 1) throw new Error('the database is away')
          return 'idle'
        }
      })
      await queue.ring(aBell())
      await queue.ring(aBell())
      await expect.poll(() => runs, { timeout: 10_000 }).toBe(2)
      await expect.poll(() => sweeps, { timeout: 10_000 }).toBeGreaterThan(3)
    })
  })
}
