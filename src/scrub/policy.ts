import { SCRUB_LEVELS, type ScrubLevel } from './profiles.ts'

/** What a policy looks at. */
export type PolicyFacts = {
  readonly owner: string
  readonly visibility: string
  readonly properties: Readonly<Record<string, string>>
}

/** One rule that keeps images from being exported; `*` as the value is any. */
export type DenyRule = { readonly name: string; readonly value: string }

/** The property by which an image wants at least this profile. */
export const SCRUB_PROPERTY = 'export_scrub'

/** @returns undefined for text that is no rule */
export function denyRule(text: string): DenyRule | undefined {
  const { name, value } = /^(?<name>[^=\s]+)=(?<value>\S.*)$/.exec(text)?.groups ?? {}
  return name && value ? { name, value } : undefined
}

export const ruleText = ({ name, value }: DenyRule): string => `${name}=${value}`

/**
 * The first rule that keeps this image here. `visibility` and `owner` are of the image, every other name is a property of it;
 * `owner=other` is any project but the caller's.
 */
export const denyingRule = (rules: readonly DenyRule[], facts: PolicyFacts, caller: string): DenyRule | undefined =>
  rules.find(({ name, value }) => {
    if (name === 'owner' && value === 'other') return facts.owner !== caller
    const found = name === 'owner' || name === 'visibility' ? facts[name] : propertyOf(facts, name)
    return found !== undefined && (value === '*' || found.toLowerCase() === value.toLowerCase())
  })

/**
 * The least that the image's own property wants it to go through. What is there and cannot be understood is taken for the
 * most: whoever wrote it wanted something.
 */
export function imageMinimum(facts: PolicyFacts): ScrubLevel | undefined {
  const wanted = propertyOf(facts, SCRUB_PROPERTY)
  if (wanted === undefined) return undefined
  return SCRUB_LEVELS.find((level) => level === wanted) ?? 'generalize'
}

const propertyOf = ({ properties }: PolicyFacts, name: string): string | undefined =>
  Object.hasOwn(properties, name) ? properties[name] : undefined
