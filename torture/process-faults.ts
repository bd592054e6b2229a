import { execFile } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { setClock } from './clock.ts'
import type { Fault, FaultUses } from './fault.ts'
import type { Post } from './ground.ts'

const run = promisify(execFile)

const worker = ({ ground, random }: FaultUses): Post => random.pick(ground.workers)

/** What happens to the processes of the service. */
export const PROCESS_FAULTS = {
  'kill -9 of a worker': {
    perMinute: 12,
    happen: async (uses) => worker(uses).slot.kill()
  },
  'kill -9 of the API': {
    perMinute: 1.5,
    happen: async ({ ground }) => ground.http.slot.kill()
  },
  'worker stopped for longer than its lease, then continued': {
    perMinute: 2,
    async happen(uses) {
      const goOn = worker(uses).slot.freeze()
      await sleep(uses.leaseMs + 1000 + uses.random.integer(0, 2000))
      goOn()
    }
  },
  'worker stopped for less than its lease': {
    perMinute: 1,
    async happen(uses) {
      const goOn = worker(uses).slot.freeze()
      await sleep(uses.leaseMs / 3)
      goOn()
    }
  },
  'SIGTERM to a worker': {
    perMinute: 2,
    happen: async (uses) => worker(uses).slot.terminate()
  },
  'rolling restart of all workers': {
    perMinute: 0.5,
    async happen({ ground }) {
      for (const { slot } of ground.workers) {
        slot.terminate()
        await sleep(2000)
      }
    }
  },
  'a worker has no file descriptors left': {
    perMinute: 0.35,
    async happen(uses) {
      const { pid } = worker(uses).slot
      const limit = (soft: string) => run('prlimit', ['--pid', String(pid), `--nofile=${soft}:`]).catch(() => {})
      await limit('24')
      await sleep(3000)
      await limit('1024')
    }
  },
  'the clock of a worker jumps by two hours': {
    perMinute: 0.7,
    async happen({ ground, random }) {
      const { clockFile } = ground.workers[0] ?? {}
      if (clockFile) await setClock(clockFile, random.pick([-7200, 0, 7200]))
    }
  }
} as const satisfies Readonly<Record<string, Fault>>
