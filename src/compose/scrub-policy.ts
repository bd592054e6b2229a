import { readFile } from 'node:fs/promises'
import { type Config, ConfigInvalid, list } from '../config.ts'
import { MiB } from '../domain/bytes.ts'
import type { ScrubPolicy } from '../export/scrub-policy.ts'
import { denyRule } from '../scrub/policy.ts'
import { scrubSteps } from '../scrub/registry.ts'
import type { ScrubStep } from '../scrub/scrub-step.ts'

const MAX_SCRIPT_BYTES = MiB

/**
 * What the operator has decided about what may leave, and how.
 * @param tools versions by name of what changes guests' files here
 * @throws ConfigInvalid
 */
export async function scrubPolicyOf(
  config: Config,
  tools: Readonly<Record<string, string>> = {}
): Promise<ScrubPolicy> {
  const steps = scrubSteps()
  const mistakes = [
    ...unknownSteps('SCRUB_STEPS', list(config.SCRUB_STEPS).map(withoutMinus), steps),
    ...unknownSteps('SCRUB_REQUIRED_STEPS', list(config.SCRUB_REQUIRED_STEPS), steps),
    ...list(config.SCRUB_PROVIDER_PATHS)
      .filter((path) => !isBelowRoot(path))
      .map(
        (path) => `SCRUB_PROVIDER_PATHS: ${path} is not a path of the guest such as /opt/agent or /etc/apt/*.d/ours*`
      ),
    ...list(config.EXPORT_DENY)
      .filter((text) => !denyRule(text))
      .map((text) => `EXPORT_DENY: ${text} is not of the form name=value`)
  ]
  const script = config.SCRUB_FIRST_BOOT && (await readScript(config.SCRUB_FIRST_BOOT, mistakes))
  if (mistakes.length > 0) throw new ConfigInvalid(mistakes)
  const gaps = config.SCRUB_GAPS
  return {
    rules: {
      byDefault: config.SCRUB_DEFAULT,
      minimum: config.SCRUB_MINIMUM,
      generalize: list(config.SCRUB_STEPS),
      required: list(config.SCRUB_REQUIRED_STEPS),
      unknownGuest: config.SCRUB_UNKNOWN_GUEST,
      secrets: config.SCRUB_SECRETS,
      gaps: { gaps, bootGap: 'keep' },
      settings: { providerPaths: list(config.SCRUB_PROVIDER_PATHS), firstBootScript: script || undefined },
      tools
    },
    steps,
    deny: list(config.EXPORT_DENY).flatMap((text) => denyRule(text) ?? []),
    properties: list(config.EXPORT_PROPERTIES)
  }
}

const withoutMinus = (name: string): string => name.replace(/^-/, '')

const unknownSteps = (setting: string, names: readonly string[], steps: readonly ScrubStep[]): string[] =>
  names
    .filter((name) => !steps.some(({ id }) => id === name))
    .map((name) => `${setting}: there is no step ${name}; there are ${steps.map(({ id }) => id).join(', ')}`)

/** Not the root itself: nothing would be left. */
const isBelowRoot = (path: string): boolean =>
  /^\/[^/]/.test(path) && !/^\/\*\/?$/.test(path) && !/(^|\/)\.{1,2}(\/|$)/.test(path)

async function readScript(path: string, mistakes: string[]): Promise<Buffer | undefined> {
  try {
    const script = await readFile(path)
    if (script.length > 2 && script.length <= MAX_SCRIPT_BYTES && script.subarray(0, 2).toString() === '#!')
      return script
    mistakes.push(`SCRUB_FIRST_BOOT: ${path} has to begin with #! and to be at most 1 MiB long`)
  } catch {
    mistakes.push(`SCRUB_FIRST_BOOT: ${path} cannot be read`)
  }
  return undefined
}
