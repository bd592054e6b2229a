import { describe, expect, it } from 'vitest'
import { type ExportOptions, NO_OPTIONS } from '../../../src/domain/export-options.ts'
import { taskId } from '../../../src/domain/ids.ts'
import { StagingFull } from '../../../src/domain/temp-url-errors.ts'
import { endingOf } from '../../../src/export/attempt/endings.ts'
import type { Claim } from '../../../src/export/ports.ts'
import { checkTempUrl, tempUrlPlan } from '../../../src/export/requests/temp-url-request.ts'
import { chooseFormat } from '../../../src/formats/format-family.ts'
import { createFormats } from '../../../src/formats/registry.ts'

const TASK = taskId('43215678-4321-4321-8321-432156789abc')
const optionsWith = (change: Partial<ExportOptions>): ExportOptions => ({ ...NO_OPTIONS, ...change })
const formatOf = (name: string, options: object) => {
  const family = createFormats().get(name)
  if (!family) throw new Error(`no format ${name}`)
  return chooseFormat(family, options)
}

describe('a temporary URL', () => {
  it.each([
    ['raw', {}, 'etag', 'virtual', 'etag'],
    ['qcow2', {}, 'none', 'virtual', 'none'],
    ['qcow2', {}, 'ranges', 'staged', 'ranges'],
    ['qcow2', {}, 'full', 'staged', 'full'],
    ['qcow2', { compression: 'zstd' }, 'none', 'staged', 'full'],
    ['vmdk', {}, 'etag', 'staged', 'full'],
    ['ova', {}, 'etag', 'staged', 'full']
  ] as const)('of %s %o, verify %s, is %s and read back: %s', (name, options, verify, kind, verified) => {
    const plan = tempUrlPlan(formatOf(name, options), optionsWith({ verify }), TASK, false)

    expect(plan.place.href).toBe(`tempurl:///${kind}`)
    expect(plan.options.verify).toBe(verified)
  })

  it('is kept where the disk is changed on its way, since it cannot be made again from the image', () => {
    const plan = tempUrlPlan(formatOf('raw', {}), NO_OPTIONS, TASK, true)

    expect(plan.place.href).toBe('tempurl:///staged')
  })

  it('is named after the image and the task, or by its template', () => {
    const named = optionsWith({ object: { key_template: 'x.{ext}' } })
    expect(tempUrlPlan(formatOf('raw', {}), NO_OPTIONS, TASK, false).template).toBe('{image_name}-43215678.{ext}')
    expect(tempUrlPlan(formatOf('raw', {}), named, TASK, false).template).toBe('x.{ext}')
  })

  it.each([
    [{ tempUrl: { ttl_seconds: 601 } }, '/temp_url/ttl_seconds'],
    [{ tempUrl: { ip_range: '10.0.0.0/33' } }, '/temp_url/ip_range'],
    [{ sidecars: ['sha256'] }, '/sidecars']
  ] as const)('cannot have %o', (change, pointer) => {
    expect(() => checkTempUrl('tempurl:', optionsWith(change), 600)).toThrow(expect.objectContaining({ pointer }))
  })

  it('may have what the operator allows', () => {
    const tempUrl = { ttl_seconds: 600, ip_range: '2001:db8::/32' }
    expect(() => checkTempUrl('tempurl:', optionsWith({ tempUrl }), 600)).not.toThrow()
    expect(() => checkTempUrl('https://h.example/x', optionsWith({ sidecars: ['sha256'] }))).not.toThrow()
  })
})

it('waits, uncounted, while there is no room to keep its file, and says so', () => {
  const claim = { task: { attempts: 5 }, maxAttempts: 5, spent: null } as unknown as Claim

  expect(endingOf(new StagingFull(), claim, 'transferring', null)).toMatchObject({
    status: 'again',
    countAttempt: false,
    message: expect.stringContaining('make room')
  })
})
