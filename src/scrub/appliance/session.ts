import type { GapPolicy } from '../free-space.ts'
import type { NbdServer } from '../nbd/server.ts'
import type { Fish } from './fish.ts'

/** One guest in the appliance. */
export type Session = {
  readonly fish: Fish
  readonly server: NbdServer
  /** Of the host, and guestfish's too. */
  readonly folder: string
  readonly gaps: GapPolicy
}
