import type { ExportOptions } from '../domain/export-options.ts'
import type { ImageId } from '../domain/ids.ts'
import { ImageNotExportable } from '../domain/image-errors.ts'
import { type DenyRule, denyingRule, imageMinimum, type PolicyFacts, ruleText } from '../scrub/policy.ts'
import { checkScrub, planScrub, type ScrubPlan, type ScrubRules } from '../scrub/profiles.ts'
import type { ScrubStep } from '../scrub/scrub-step.ts'

/** What the operator has decided about what may leave, and how. */
export type ScrubPolicy = {
  readonly rules: ScrubRules
  /** Every step there is. */
  readonly steps: readonly ScrubStep[]
  readonly deny: readonly DenyRule[]
  /** Properties of images that manifests may tell. */
  readonly properties: readonly string[]
}

/** @throws ImageNotExportable naming the rule */
export function assertExportable({ deny }: ScrubPolicy, image: ImageId, facts: PolicyFacts, caller: string): void {
  const rule = denyingRule(deny, facts, caller)
  if (rule) throw new ImageNotExportable(image, ruleText(rule))
}

/** @throws ScrubInvalid, ScrubRequired */
export const assertScrub = ({ rules, steps }: ScrubPolicy, facts: PolicyFacts, { scrub = {} }: ExportOptions): void =>
  checkScrub(scrub, imageMinimum(facts), rules, steps)

/** What the export goes through by the rules of now. @throws ScrubInvalid for a step that is not known here */
export const scrubPlanOf = (
  { rules, steps }: ScrubPolicy,
  facts: PolicyFacts,
  { scrub = {} }: ExportOptions
): ScrubPlan => planScrub(scrub, imageMinimum(facts), rules, steps)

/** What a manifest may tell of the image. */
export const toldProperties = ({ properties }: ScrubPolicy, facts: PolicyFacts): Readonly<Record<string, string>> =>
  Object.fromEntries(
    Object.entries(facts.properties)
      .filter(([name]) => properties.includes(name))
      .sort()
  )
