export const SCRUB_PROFILES = ['none', 'metadata', 'generalize', 'custom'] as const
export type ScrubProfile = (typeof SCRUB_PROFILES)[number]

/** What was found on the disk; `name` as its own files tell it, cut to what can be printed. */
export type Guest = { readonly kind: 'linux' | 'other' | 'unknown'; readonly name?: string }

/** What a step did. `skipped` says why it did nothing, where that was not for want of anything to change. */
export type StepReport = {
  readonly id: string
  readonly changed: boolean
  /** Files, links and folders that were removed, emptied or written. */
  readonly files: number
  /** Of the files that were removed or emptied. */
  readonly bytes: number
  readonly skipped?: string
}

/** What a scrub is at, besides steps: its file systems before, secrets, its file systems afterwards, what no file needs. */
export const SCRUB_STAGES = ['checking', 'secrets', 'settling', 'free-space'] as const
export type ScrubStage = (typeof SCRUB_STAGES)[number]

/** How far a scrub is: it has `done` of so many things to do and is at `step`. */
export type ScrubProgress = {
  /** One of SCRUB_STAGES, a step's id, or `custom/` and the id of a step of the operator's. */
  readonly step: string
  readonly done: number
  readonly of: number
}

/** A secret that was found and left: what it is and where, never the secret itself. */
export type SecretFound = { readonly rule: string; readonly path: string }

/** What a scrub has done, for its user and for an auditor. Part of the task and of the manifest; holds no secret. */
export type ScrubReport = {
  readonly profile: ScrubProfile
  readonly guest: Guest
  /** How the guest's files were changed; `none` where they were not. */
  readonly path: 'none' | 'fast' | 'appliance'
  readonly steps: readonly StepReport[]
  /** Steps that were not made, and why: the profile has them off, the user or the operator switched them off. */
  readonly kept: readonly { readonly id: string; readonly why: string }[]
  readonly secrets: readonly SecretFound[]
  /**
   * What each partition holds, and how much of it nobody uses; `why` where nothing of it could be dropped, `filesLeft` where no
   * step has seen its files.
   */
  readonly partitions: readonly {
    readonly offset: number
    readonly bytes: number
    readonly fileSystem: string
    readonly freeBytes: number
    readonly why?: string
    readonly filesLeft?: string
  }[]
  /** Bytes of the disk that no longer leave because nobody uses them. */
  readonly freedBytes: number
  /** What the changes hold in the worker's scratch folder until the export is over; what was made zeros takes nothing. */
  readonly overlayBytes: number
  /** Of the changes; two scrubs with the same one wrote the same disk. Hex. */
  readonly digest: string
  /** Versions by name. */
  readonly tools: Readonly<Record<string, string>>
  readonly seconds: number
  /** Of the operator's own steps. */
  readonly custom?: readonly {
    readonly id: string
    readonly exitCode: number
    readonly files?: number
    readonly note?: string
  }[]
}
