import type { ScrubPolicy } from '../../src/export/scrub-policy.ts'
import type { ScrubRules } from '../../src/scrub/profiles.ts'
import { scrubSteps } from '../../src/scrub/registry.ts'

/** What operators have who have set nothing. */
export const RULES: ScrubRules = {
  byDefault: 'metadata',
  minimum: 'none',
  generalize: [],
  required: [],
  unknownGuest: 'fail',
  secrets: 'report',
  gaps: { gaps: 'zero', bootGap: 'keep' },
  settings: { providerPaths: [], firstBootScript: undefined },
  tools: {}
}

export const scrubPolicy = (rules: Partial<ScrubRules> = {}, more: Partial<ScrubPolicy> = {}): ScrubPolicy => ({
  rules: { ...RULES, ...rules },
  steps: scrubSteps(),
  deny: [{ name: 'export_allowed', value: 'false' }],
  properties: ['os_distro'],
  ...more
})

/** An image of the caller's that nothing is said of. */
export const FACTS = { owner: 'demo', visibility: 'private', properties: {} }
