import type { Guest, StepReport } from '../domain/scrub-report.ts'
import type { Secret } from '../domain/secret.ts'
import type { GapPolicy } from './free-space.ts'
import type { GuestFiles } from './guest.ts'
import type { OverlayDisk } from './overlay-disk.ts'
import type { ScrubStep, StepSettings } from './scrub-step.ts'

/** What looks at the files once the steps are through, and changes nothing. */
export type Look = (files: GuestFiles, signal: AbortSignal) => Promise<void>

export type Edit = {
  readonly steps: readonly ScrubStep[]
  readonly settings: StepSettings
  readonly looks: readonly Look[]
  readonly gaps: GapPolicy
  /** An empty folder of this attempt, removed by the caller. */
  readonly work: string
  /** A passphrase that opens the guest's encryption. */
  readonly diskKey?: Secret<string> | undefined
}

export type Edited = {
  readonly guest: Guest
  readonly steps: readonly StepReport[]
  /** Versions by name, of what took part. */
  readonly tools: Readonly<Record<string, string>>
  /** By the byte where it begins, why the files of a partition were left as they are. */
  readonly left?: ReadonlyMap<number, string>
  /**
   * Kinds of partitions that only the editor can read, by the names of `recognised`: null where it has made zeros of all that
   * is free in them, otherwise why it has not.
   */
  readonly erased?: ReadonlyMap<string, string | null>
}

/**
 * One way to change the files of a guest. Its changes go into the overlay alone; what it was refused in the middle leaves an
 * overlay that is not to be used any more. Freed blocks are made zeros afterwards, by `freeSpace`, not here.
 */
export interface GuestEditor {
  readonly name: 'fast' | 'appliance'
  /** @throws Refused where this guest is not for it; ScrubApplianceFailed, ScrubDiskKeyWrong; the signal's reason */
  edit(disk: OverlayDisk, edit: Edit, signal: AbortSignal): Promise<Edited>
}
