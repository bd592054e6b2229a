import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { scrubPolicyOf } from '../../../src/compose/scrub-policy.ts'
import { readConfig } from '../../../src/config.ts'

const policyOf = (env: Record<string, string>) => scrubPolicyOf(readConfig(env, { split: false }))

describe("the operator's policy", () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'policy-test-'))
  })
  afterAll(() => rm(folder, { recursive: true }))

  it('leaves disks as they are and images free to go where nothing was set', async () => {
    expect(await policyOf({})).toMatchObject({
      rules: { byDefault: 'metadata', minimum: 'none', unknownGuest: 'fail', secrets: 'report', required: [] },
      deny: [{ name: 'export_allowed', value: 'false' }]
    })
  })

  it('is what was set', async () => {
    const script = join(folder, 'script')
    await writeFile(script, '#!/bin/sh\nssh-keygen -A\n')

    const policy = await policyOf({
      SCRUB_MINIMUM: 'generalize',
      SCRUB_STEPS: 'lock-passwords, -logs',
      SCRUB_REQUIRED_STEPS: 'histories',
      SCRUB_PROVIDER_PATHS: '/opt/agent,/etc/apt/*/ours',
      SCRUB_FIRST_BOOT: script,
      SCRUB_GAPS: 'keep',
      EXPORT_DENY: 'os_license=*,owner=other',
      EXPORT_PROPERTIES: 'os_distro'
    })

    expect(policy).toMatchObject({
      rules: {
        minimum: 'generalize',
        generalize: ['lock-passwords', '-logs'],
        required: ['histories'],
        gaps: { gaps: 'keep', bootGap: 'keep' },
        settings: { providerPaths: ['/opt/agent', '/etc/apt/*/ours'] }
      },
      deny: [
        { name: 'os_license', value: '*' },
        { name: 'owner', value: 'other' }
      ],
      properties: ['os_distro']
    })
    expect(policy.rules.settings.firstBootScript?.toString()).toContain('ssh-keygen')
  })

  it.each([
    [{ SCRUB_STEPS: '-log' }, 'SCRUB_STEPS: there is no step log'],
    [{ SCRUB_REQUIRED_STEPS: 'everything' }, 'SCRUB_REQUIRED_STEPS: there is no step everything'],
    [{ SCRUB_PROVIDER_PATHS: '/' }, 'SCRUB_PROVIDER_PATHS: / is not'],
    [{ SCRUB_PROVIDER_PATHS: '/*' }, 'SCRUB_PROVIDER_PATHS: /* is not'],
    [{ SCRUB_PROVIDER_PATHS: '/opt/../etc' }, 'SCRUB_PROVIDER_PATHS: /opt/../etc is not'],
    [{ SCRUB_PROVIDER_PATHS: 'opt' }, 'SCRUB_PROVIDER_PATHS: opt is not'],
    [{ SCRUB_FIRST_BOOT: '/nowhere/script' }, 'SCRUB_FIRST_BOOT: /nowhere/script cannot be read'],
    [{ EXPORT_DENY: 'visibility' }, 'EXPORT_DENY: visibility is not of the form name=value']
  ])('is refused for %o', async (env, words) => {
    await expect(policyOf(env as Record<string, string>)).rejects.toThrow(words)
  })

  it('takes no script that nothing could run', async () => {
    const script = join(folder, 'text')
    await writeFile(script, 'ssh-keygen -A\n')

    await expect(policyOf({ SCRUB_FIRST_BOOT: script })).rejects.toThrow('has to begin with #!')
  })
})
