import type { GuestChange, GuestFiles } from './guest.ts'

/** What the operator has set for steps; lists are paths or patterns of the guest. */
export type StepSettings = {
  /** Folders and files that the provider has put into its guests (agents, repositories). */
  readonly providerPaths: readonly string[]
  /** A script that runs once when the guest starts the next time. */
  readonly firstBootScript: Buffer | undefined
}

/**
 * One thing that must not leave with a guest. It looks and says what is to be changed; who changes it knows how. The same
 * files give the same changes. It follows no link and believes no name.
 * Adding one: one file in steps/, one line in registry.ts.
 */
export interface ScrubStep {
  /** Stable: users and operators name it in requests and policies. */
  readonly id: string
  /** What goes, in a few words, for reports and capabilities. */
  readonly about: string
  /** Whether the profile `generalize` has it. */
  readonly generalizes: boolean
  changes(files: GuestFiles, settings: StepSettings): AsyncIterable<GuestChange>
}
