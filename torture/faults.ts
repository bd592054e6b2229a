import { setTimeout as sleep } from 'node:timers/promises'
import type { Fault } from './fault.ts'
import { PROCESS_FAULTS } from './process-faults.ts'
import type { Random } from './random.ts'
import { SERVER_FAULTS } from './server-faults.ts'
import { STORMS } from './stores.ts'

/** What users and the places around the service do. */
const OTHER_FAULTS = {
  'the destination fails': {
    perMinute: 4,
    async happen({ ground: { stores }, random }) {
      const { fault, match } = random.pick(STORMS)
      const times = random.integer(1, 6)
      stores.s3.inject(fault, match, times)
      // Nothing tells a PUT whose bytes were changed from another.
      if (fault.kind !== 'corrupt') stores.http.inject(fault, match, times)
    }
  },
  'the disk for files that wait for their download is full': {
    perMinute: 0.7,
    async happen({ ground, random }) {
      await ground.stagingDisk?.fill()
      await sleep(random.integer(2000, 5000))
      await ground.stagingDisk?.free()
    }
  },
  'a project cancels everything': {
    perMinute: 1,
    async happen({ ground, load }) {
      const ongoing = await ground.history.ongoing()
      if (ongoing) load.cancelStorm(ongoing)
    }
  },
  'an image is exported and deleted at the same time': {
    perMinute: 4,
    happen: async ({ load }) => load.deleteStorm()
  }
} as const satisfies Readonly<Record<string, Fault>>

/** Everything that can go wrong here, by what the report calls it. */
export const FAULTS = { ...PROCESS_FAULTS, ...SERVER_FAULTS, ...OTHER_FAULTS }

export type FaultName = keyof typeof FAULTS

type Planned = { readonly atMs: number; readonly name: FaultName }

/** When what goes wrong: `counts` of each, spread by chance over the time. */
export function planFaults(
  counts: Readonly<Record<FaultName, number>>,
  spanMs: number,
  random: Random
): readonly Planned[] {
  return Object.entries(counts)
    .flatMap(([name, count]) =>
      Array.from({ length: count }, () => ({ atMs: random.integer(0, spanMs), name: name as FaultName }))
    )
    .sort((one, other) => one.atMs - other.atMs)
}

/** @param asked how often, where it is not to follow from the time */
export function countsFor(
  minutes: number,
  asked: Partial<Readonly<Record<FaultName, number>>>
): Record<FaultName, number> {
  const names = Object.keys(FAULTS) as FaultName[]
  const countOf = (name: FaultName) => asked[name] ?? Math.round(FAULTS[name].perMinute * minutes)
  return Object.fromEntries(names.map((name) => [name, countOf(name)])) as Record<FaultName, number>
}
