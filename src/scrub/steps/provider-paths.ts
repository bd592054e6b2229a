import { removing } from '../removing.ts'
import type { ScrubStep } from '../scrub-step.ts'

export const providerPaths: ScrubStep = {
  id: 'provider-paths',
  about: 'what the provider has put into its guests: agents and repositories, as the operator lists them',
  generalizes: true,
  changes: (files, { providerPaths }) => removing(files, providerPaths)
}
