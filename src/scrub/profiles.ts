import type { ScrubOptions } from '../domain/export-options.ts'
import { ScrubInvalid, ScrubRequired } from '../domain/scrub-errors.ts'
import type { ScrubProfile } from '../domain/scrub-report.ts'
import type { GapPolicy } from './free-space.ts'
import type { ScrubStep, StepSettings } from './scrub-step.ts'

/** Raised whenever the same image, steps and settings begin to give another disk than before. */
const SCRUB_VERSION = 5

/** What an operator can set for all: `custom` is for users. */
export const SCRUB_LEVELS = ['none', 'metadata', 'generalize'] as const
export type ScrubLevel = (typeof SCRUB_LEVELS)[number]

type UnknownGuest = 'fail' | 'skip'
type SecretsPolicy = 'report' | 'refuse' | 'off'

/** What the operator has decided about scrubbing. */
export type ScrubRules = {
  /** Of a request that says nothing. */
  readonly byDefault: ScrubLevel
  /** The least that every export goes through. */
  readonly minimum: ScrubLevel
  /** Steps put into `generalize` by their names, and taken out of it by their names behind `-`. */
  readonly generalize: readonly string[]
  /** Steps that every scrub of files makes, whoever wants it otherwise. */
  readonly required: readonly string[]
  readonly unknownGuest: UnknownGuest
  readonly secrets: SecretsPolicy
  readonly gaps: GapPolicy
  readonly settings: StepSettings
  /** Versions by name of what changes files here; other ones may write other bytes. */
  readonly tools: Readonly<Record<string, string>>
}

/** What is to be done to one disk. */
export type ScrubPlan = {
  readonly profile: ScrubProfile
  /** False: the disk leaves as it is, and there is nothing but a report. */
  readonly changesDisk: boolean
  readonly steps: readonly ScrubStep[]
  readonly kept: readonly { readonly id: string; readonly why: string }[]
  readonly unknownGuest: UnknownGuest
  readonly secrets: SecretsPolicy
  readonly gaps: GapPolicy
  readonly settings: StepSettings
  /** Equal for plans that make the same disk of the same image. */
  readonly identity: readonly unknown[]
}

/**
 * Whether a request wants what it can have.
 * @param ofImage the least that this image's properties want
 * @throws ScrubInvalid, ScrubRequired
 */
export function checkScrub(
  asked: ScrubOptions,
  ofImage: ScrubLevel | undefined,
  rules: ScrubRules,
  all: readonly ScrubStep[]
): void {
  const minimum = minimumOf(ofImage, rules)
  const profile = profileOf(asked, minimum, rules)
  if (asked.profile !== undefined && profile !== asked.profile)
    throw new ScrubRequired('profile', `exports of this image go through ${minimum} at least`)
  for (const member of ['enable', 'disable'] as const) {
    const ids = asked[member] ?? []
    if (ids.length > 0 && !changesDisk(profile))
      throw new ScrubInvalid(member, `the profile ${profile} has no steps; choose generalize or custom`)
    if (ids.some((id) => !all.some((step) => step.id === id)))
      throw new ScrubInvalid(member, `one of the steps is not known; there are ${all.map(({ id }) => id).join(', ')}`)
  }
  if (asked.keyed && !changesDisk(profile))
    throw new ScrubInvalid('disk_key', `the profile ${profile} opens no disk; choose generalize or custom`)
  const kept = asked.disable?.find((id) => rules.required.includes(id))
  if (kept !== undefined) throw new ScrubRequired('disable', `the operator wants ${kept} made in any case`)
}

/**
 * Decides what one export goes through: what was asked for, and more where the operator wants more by now.
 * @throws ScrubInvalid for a step that is not known here
 */
export function planScrub(
  asked: ScrubOptions,
  ofImage: ScrubLevel | undefined,
  rules: ScrubRules,
  all: readonly ScrubStep[]
): ScrubPlan {
  const { gaps, settings, tools } = rules
  const minimum = minimumOf(ofImage, rules)
  const profile = profileOf(asked, minimum, rules)
  const unknownGuest = unknownGuestOf(asked, minimum, rules)
  const untouched = { profile, unknownGuest, gaps, settings, steps: [] }
  if (!changesDisk(profile)) {
    const why = `the profile ${profile} leaves files alone`
    const kept = all.map(({ id }) => ({ id, why }))
    return { ...untouched, changesDisk: false, kept, secrets: 'off', identity: [] }
  }

  const { enable = [], disable = [] } = asked
  const unknown = enable.find((id) => !all.some((step) => step.id === id))
  if (unknown !== undefined) throw new ScrubInvalid('enable', 'one of the steps is not known here')
  const withStandard = profile === 'generalize' || minimum === 'generalize'
  const standard = new Set([...(withStandard ? generalizeSteps(rules, all) : []), ...enable])
  const isMade = (id: string) => rules.required.includes(id) || (standard.has(id) && !disable.includes(id))
  const steps = all.filter(({ id }) => isMade(id))
  const kept = all
    .filter(({ id }) => !isMade(id))
    .map(({ id }) => ({
      id,
      why: standard.has(id) ? 'the request has switched it off' : 'the profile does not have it'
    }))
  const made = steps.map(({ id }) => id)
  const keyed = asked.keyed ? ['keyed'] : []
  const identity = [
    SCRUB_VERSION,
    made,
    gaps,
    unknownGuest,
    settingsOf(settings),
    Object.entries(tools).sort(),
    ...keyed
  ]
  return { ...untouched, changesDisk: true, steps, kept, secrets: rules.secrets, identity }
}

const minimumOf = (ofImage: ScrubLevel | undefined, { minimum }: ScrubRules): ScrubLevel =>
  higher(ofImage ?? 'none', minimum)

const changesDisk = (profile: ScrubProfile): boolean => profile === 'generalize' || profile === 'custom'

/** Names of the steps that `generalize` has here. */
export const generalizeSteps = ({ generalize }: Pick<ScrubRules, 'generalize'>, all: readonly ScrubStep[]): string[] =>
  all
    .filter(({ id, generalizes }) => (generalizes || generalize.includes(id)) && !generalize.includes(`-${id}`))
    .map(({ id }) => id)

const higher = (one: ScrubLevel, other: ScrubLevel): ScrubLevel =>
  SCRUB_LEVELS.indexOf(one) > SCRUB_LEVELS.indexOf(other) ? one : other

const profileOf = ({ profile }: ScrubOptions, minimum: ScrubLevel, { byDefault }: ScrubRules): ScrubProfile =>
  profile === 'custom' ? profile : higher(profile ?? byDefault, minimum)

/** What the operator wants scrubbed, a user cannot have skipped. */
function unknownGuestOf(
  { on_unrecognized_os: asked }: ScrubOptions,
  minimum: ScrubLevel,
  { unknownGuest }: ScrubRules
): UnknownGuest {
  if (minimum === 'generalize' && unknownGuest === 'fail') return 'fail'
  return asked ?? unknownGuest
}

const settingsOf = ({ providerPaths, firstBootScript }: StepSettings) => [
  providerPaths,
  firstBootScript?.toString('base64') ?? null
]
