import { describe, expect, it } from 'vitest'
import type { ScrubOptions } from '../../../src/domain/export-options.ts'
import { ScrubInvalid, ScrubRequired } from '../../../src/domain/scrub-errors.ts'
import { denyingRule, denyRule, imageMinimum } from '../../../src/scrub/policy.ts'
import { checkScrub, planScrub, type ScrubLevel, type ScrubRules } from '../../../src/scrub/profiles.ts'
import { scrubSteps } from '../../../src/scrub/registry.ts'
import { FACTS, RULES } from '../../support/scrub-policy.ts'

const plan = (asked: ScrubOptions, rules: Partial<ScrubRules> = {}, ofImage?: ScrubLevel) =>
  planScrub(asked, ofImage, { ...RULES, ...rules }, scrubSteps())
const check = (asked: ScrubOptions, rules: Partial<ScrubRules> = {}, ofImage?: ScrubLevel) =>
  checkScrub(asked, ofImage, { ...RULES, ...rules }, scrubSteps())
const idsOf = ({ steps }: ReturnType<typeof plan>) => steps.map(({ id }) => id)
const OPTIONAL = ['ssh-user-keys', 'lock-passwords']

describe('what an export goes through', () => {
  it.each([
    ['nothing asked', {}, {}, undefined, 'metadata'],
    ["the operator's default", {}, { byDefault: 'generalize' }, undefined, 'generalize'],
    ['the minimum above the default', {}, { minimum: 'generalize' }, undefined, 'generalize'],
    ["the image's own minimum", {}, {}, 'generalize', 'generalize'],
    ["the image's own is no less", {}, { minimum: 'generalize' }, 'none', 'generalize'],
    ['what was asked', { profile: 'none' }, {}, undefined, 'none'],
    ['what has become the minimum since', { profile: 'none' }, { minimum: 'generalize' }, undefined, 'generalize'],
    ['custom', { profile: 'custom' }, { minimum: 'generalize' }, undefined, 'custom']
  ] as const)('%s', (_case, asked, rules, ofImage, profile) => {
    expect(plan(asked, rules, ofImage).profile).toBe(profile)
  })

  it('has every step of generalize, in order, and says which are kept', () => {
    const { steps, kept, changesDisk } = plan({ profile: 'generalize' })

    expect(changesDisk).toBe(true)
    expect(steps.map(({ id }) => id)).toEqual(
      scrubSteps()
        .map(({ id }) => id)
        .filter((id) => !OPTIONAL.includes(id))
    )
    expect(kept).toEqual(OPTIONAL.map((id) => ({ id, why: 'the profile does not have it' })))
  })

  it('has what was switched on, and not what was switched off', () => {
    const { kept, ...made } = plan({ profile: 'generalize', enable: ['lock-passwords'], disable: ['logs'] })

    expect(idsOf({ kept, ...made })).toContain('lock-passwords')
    expect(kept).toContainEqual({ id: 'logs', why: 'the request has switched it off' })
  })

  it('has of custom only what was switched on, and what the operator requires', () => {
    expect(idsOf(plan({ profile: 'custom', enable: ['histories'] }, { required: ['machine-id'] }))).toEqual([
      'machine-id',
      'histories'
    ])
  })

  it('has of custom all of generalize where that is the minimum, but for what may be switched off', () => {
    const ids = idsOf(
      plan(
        { profile: 'custom', enable: ['ssh-user-keys'], disable: ['logs', 'machine-id'] },
        {
          minimum: 'generalize',
          required: ['machine-id']
        }
      )
    )

    expect(ids).toEqual(
      scrubSteps()
        .map(({ id }) => id)
        .filter((id) => !['logs', 'lock-passwords'].includes(id))
    )
  })

  it("follows the operator's own generalize", () => {
    const ids = idsOf(plan({ profile: 'generalize' }, { generalize: ['lock-passwords', '-cloud-credentials'] }))

    expect(ids).toContain('lock-passwords')
    expect(ids).not.toContain('cloud-credentials')
  })

  it('touches nothing for metadata, and has nothing to tell exports apart by', () => {
    expect(plan({})).toMatchObject({ changesDisk: false, steps: [], secrets: 'off', identity: [] })
  })
})

describe('what a request cannot have', () => {
  it.each([
    ['less than the minimum', { profile: 'metadata' }, { minimum: 'generalize' }, undefined, '/scrub/profile'],
    ['less than the image wants', { profile: 'none' }, {}, 'metadata', '/scrub/profile'],
    [
      'without a required step',
      { profile: 'generalize', disable: ['logs'] },
      { required: ['logs'] },
      undefined,
      '/scrub/disable'
    ]
  ] as const)('%s', (_case, asked, rules, ofImage, pointer) => {
    expect(() => check(asked, rules, ofImage)).toThrow(expect.objectContaining({ code: 'SCRUB_REQUIRED', pointer }))
    expect(() => check(asked, rules, ofImage)).toThrow(ScrubRequired)
  })

  it.each([
    ['a step that is none', { profile: 'generalize', enable: ['format-c'] }, '/scrub/enable'],
    ['steps of a profile without any', { profile: 'metadata', disable: ['logs'] }, '/scrub/disable'],
    ['steps without a profile', { enable: ['logs'] }, '/scrub/enable']
  ] as const)('%s', (_case, asked, pointer) => {
    expect(() => check(asked)).toThrow(ScrubInvalid)
    expect(() => check(asked)).toThrow(expect.objectContaining({ pointer }))
  })

  it('is not asked when it says nothing', () => {
    expect(() => check({}, { minimum: 'generalize', required: ['logs'] }, 'generalize')).not.toThrow()
  })
})

describe('a guest that is not known', () => {
  it.each([
    ['fails', {}, {}, 'fail'],
    ['is skipped where the user wants it', { on_unrecognized_os: 'skip' }, {}, 'skip'],
    ['fails where the operator wants it scrubbed', { on_unrecognized_os: 'skip' }, { minimum: 'generalize' }, 'fail'],
    ['is skipped where the operator has it so', {}, { unknownGuest: 'skip', minimum: 'generalize' }, 'skip'],
    ['fails where the user is stricter', { on_unrecognized_os: 'fail' }, { unknownGuest: 'skip' }, 'fail']
  ] as const)('%s', (_case, asked, rules, expected) => {
    expect(plan({ profile: 'generalize', ...asked }, rules).unknownGuest).toBe(expected)
  })
})

describe('the identity of a plan', () => {
  const identity = (asked: ScrubOptions, rules: Partial<ScrubRules> = {}) =>
    JSON.stringify(plan({ profile: 'generalize', ...asked }, rules).identity)

  it.each([
    ['another step', { disable: ['logs'] }, {}],
    ["another path of the provider's", {}, { settings: { providerPaths: ['/opt/a'], firstBootScript: undefined } }],
    ['another script', {}, { settings: { providerPaths: [], firstBootScript: Buffer.from('#!x') } }],
    ['other gaps', {}, { gaps: { gaps: 'keep', bootGap: 'keep' } }],
    ['other tools', {}, { tools: { e2fsprogs: '1.47.2' } }]
  ] as const)('is another one for %s', (_case, asked, rules) => {
    expect(identity(asked, rules)).not.toBe(identity({}))
  })

  it('is the same for the same steps, however they were asked for', () => {
    expect(identity({ enable: ['lock-passwords'] })).toBe(identity({}, { required: ['lock-passwords'] }))
  })
})

describe('the policy', () => {
  const denies = (rule: string, facts = {}, caller = 'demo') => {
    const parsed = denyRule(rule)
    return parsed && denyingRule([parsed], { ...FACTS, ...facts }, caller) !== undefined
  }

  it.each([
    ['export_allowed=false', { properties: { export_allowed: 'False' } }, true],
    ['export_allowed=false', { properties: { export_allowed: 'true' } }, false],
    ['export_allowed=false', {}, false],
    ['os_license=*', { properties: { os_license: 'any at all' } }, true],
    ['os_license=*', {}, false],
    ['toString=*', {}, false],
    ['visibility=public', { visibility: 'public' }, true],
    ['visibility=public', {}, false],
    ['owner=vendor', { owner: 'vendor' }, true],
    ['owner=other', { owner: 'vendor' }, true],
    ['owner=other', {}, false]
  ])('%s of %o: %s', (rule, facts, expected) => {
    expect(denies(rule, facts)).toBe(expected)
  })

  it.each(['', 'export_allowed', '=x', 'name=', 'two words=x'])('takes %j for no rule', (text) => {
    expect(denyRule(text)).toBeUndefined()
  })

  it.each([
    [undefined, undefined],
    ['none', 'none'],
    ['generalize', 'generalize'],
    ['Generalise!', 'generalize'],
    ['custom', 'generalize']
  ])('takes the property %j for %j', (value, expected) => {
    const properties: Record<string, string> = value === undefined ? {} : { export_scrub: value }
    expect(imageMinimum({ ...FACTS, properties })).toBe(expected)
  })
})
