import type { Ground } from './ground.ts'
import type { Load } from './load.ts'
import type { Random } from './random.ts'

export type FaultUses = {
  readonly ground: Ground
  readonly load: Load
  readonly random: Random
  readonly leaseMs: number
}

/** Something that goes wrong: `happen` returns when it is over, and does nothing where it cannot be done. */
export type Fault = {
  /** How often in a minute, where nothing else is asked for. */
  readonly perMinute: number
  happen(uses: FaultUses): Promise<unknown>
}
