import { describe, expect, it } from 'vitest'
import type { Destination } from '../../../src/destinations/destination.ts'
import { DestinationInvalid } from '../../../src/domain/destination-errors.ts'
import type { ExportOptions } from '../../../src/domain/export-options.ts'
import { NO_OPTIONS } from '../../../src/domain/export-options.ts'
import { imageId, ownerId, taskId } from '../../../src/domain/ids.ts'
import { NO_LABELS } from '../../../src/domain/task.ts'
import { endingOf } from '../../../src/export/attempt/endings.ts'
import { estimateOf } from '../../../src/export/checks/estimate.ts'
import { contentIdOf } from '../../../src/export/content-id.ts'
import { resolveRequest } from '../../../src/export/requests/resolve-request.ts'
import { createFormats } from '../../../src/formats/registry.ts'
import { memoryDestination } from '../../support/memory-destination.ts'
import { FACTS, scrubPolicy } from '../../support/scrub-policy.ts'
import { onlyDestination, SOURCE } from './one-task.ts'

const VIEWER = { owner: ownerId('demo'), userId: 'u', roles: ['member'], admin: false }
const IDS = { task: taskId('11111111-1111-4111-8111-111111111111'), exportId: '22222222-2222-4222-8222-222222222222' }

const resolve = (
  options: Partial<ExportOptions>,
  more: {
    place?: Parameters<typeof memoryDestination>[0]
    exportTo?: string
    name?: string
    change?: Partial<Destination>
  } = {}
) =>
  resolveRequest(
    {
      tasks: {
        exportableImage: async () => ({ status: 'active', name: more.name ?? null, source: SOURCE, facts: FACTS })
      },
      scrubPolicy: scrubPolicy(),
      formats: createFormats(),
      destinations: onlyDestination({ ...memoryDestination(more.place).destination, ...more.change })
    },
    VIEWER,
    IDS,
    {
      imageId: imageId('deadbeef-dead-dead-dead-beefbeefbeef'),
      exportTo: more.exportTo ?? 'memory://place/folder',
      exportFormat: 'vmdk',
      formatOptions: {},
      options: { ...NO_OPTIONS, ...options },
      labels: NO_LABELS
    },
    new Date('2026-11-22T06:50:39Z')
  )

describe('the name of the object', () => {
  it('is the export id below export_to, as the specification has it', async () => {
    expect((await resolve({})).objectUrl.href).toBe(`memory://place/folder/${IDS.exportId}`)
  })

  it('is what the template says, with the name of the image', async () => {
    const options = { object: { key_template: '{date}/{image_name}.{ext}' } }

    expect((await resolve(options, { name: '../web 01' })).objectUrl.href).toBe(
      'memory://place/folder/2026-11-22/_-web-01.vmdk'
    )
  })

  it('is export_to itself where that is signed for one object, and its query is no part of what is kept', async () => {
    const resolved = await resolve({}, { place: { namesObject: true }, exportTo: 'https://h.example/o?sig=secret' })

    expect(resolved.objectUrl.href).toBe('https://h.example/o')
    expect(resolved.request.exportTo).toBe('https://h.example/o')
    expect(resolved.credentials).toEqual({ kind: 'presigned', query: 'sig=secret' })
  })
})

describe('a name that the destination cannot take', () => {
  const tooLong = (named: string) => ({
    check: (url: URL) => {
      const bad = url.pathname.includes(named)
      if (bad) throw new DestinationInvalid('DEST_URL_INVALID', '/export_to', 'export_to: a name is too long.')
    }
  })

  it('is blamed on the template that makes it', async () => {
    const options = { object: { key_template: 'long/{ext}' } }

    await expect(resolve(options, { change: tooLong('long') })).rejects.toMatchObject({
      code: 'KEY_TEMPLATE_INVALID',
      pointer: '/object/key_template',
      message: 'object.key_template: a name is too long.'
    })
  })

  it('is not, where the place is what cannot be taken', async () => {
    const options = { object: { key_template: 'long/{ext}' } }

    await expect(resolve(options, { change: tooLong('folder') })).resolves.toBeDefined()
  })
})

describe('options that cannot be carried out are refused with their pointer', () => {
  const signed = { place: { namesObject: true } } as const
  const writing = { place: { writesOnly: true } } as const
  it.each([
    ['what the destination cannot do', { object: { storage_class: 'COLD' } }, {}, '/object/storage_class'],
    ['another', { object: { tags: { a: 'b' } } }, { place: { objectOptions: ['metadata'] } }, '/object/tags'],
    ['a name for a signed URL', { object: { key_template: 'x' } }, signed, '/object/key_template'],
    ['another name for a signed URL', { object: { if_exists: 'suffix' } }, signed, '/object/if_exists'],
    ['something beside a signed URL', { sidecars: ['sha256'] }, signed, '/sidecars'],
    ['reading with a signature to write', { verify: 'full' }, writing, '/verify'],
    ['a sample with a signature to write', { verify: 'ranges' }, writing, '/verify'],
    ['an object that cannot be read', { object: { if_exists: 'reuse' } }, writing, '/object/if_exists'],
    ['a temporary URL elsewhere', { tempUrl: { ttl_seconds: 60 } }, {}, '/temp_url'],
    ['no address', { tempUrl: { ip_range: '1.2.3' } }, { exportTo: 'tempurl:' }, '/temp_url/ip_range'],
    ['a network of no size', { tempUrl: { ip_range: '1.2.3.4/33' } }, { exportTo: 'tempurl:' }, '/temp_url/ip_range'],
    ['an unknown placeholder', { object: { key_template: '{x}' } }, {}, '/object/key_template']
  ] as const)('%s', async (_case, options, more, pointer) => {
    await expect(resolve(options, more as never)).rejects.toMatchObject({ pointer, permanent: true })
  })

  it('and those that can are kept as they are', async () => {
    const options = { object: { storage_class: 'COLD', if_exists: 'reuse' } } as const

    const { request } = await resolve(options, { place: { objectOptions: ['storage_class'] } })

    expect(request.options.object).toEqual(options.object)
  })
})

describe('the content id', () => {
  const idOf = (change: object, source: object = {}) =>
    contentIdOf(
      { exportFormat: 'qcow2', formatOptions: { level: 1, compression: 'zlib' }, ...change },
      { ...SOURCE, ...source }
    )

  it('is the same for the same bytes, whatever the order of the options', () => {
    expect(idOf({ formatOptions: { compression: 'zlib', level: 1 } })).toBe(idOf({}))
    expect(idOf({})).toMatch(/^[0-9a-f]{64}$/)
  })

  it.each([
    [{ exportFormat: 'raw' }, {}],
    [{ formatOptions: { level: 2, compression: 'zlib' } }, {}],
    [{}, { sha512: 'other' }],
    [{}, { diskFormat: 'qcow2' }]
  ])('is another with %j %j', (change, source) => {
    expect(idOf(change, source)).not.toBe(idOf({}))
  })
})

describe('an estimate', () => {
  const plan = { minLength: 10, maxLength: 100_000_000, layout: undefined }

  it('rests on earlier exports, on a careful guess, or on the limit', () => {
    const pace = { exports: 3, bytesPerSecond: 50_000_000 }
    expect(estimateOf(plan, pace, undefined)).toMatchObject({ bytesMin: 10, bytesMax: 100_000_000, seconds: 4 })
    expect(estimateOf(plan, pace, undefined).basis).toContain('last 3 exports')
    expect(estimateOf(plan, undefined, undefined)).toMatchObject({
      seconds: 12,
      basis: expect.stringContaining('10 MiB/s')
    })
    expect(estimateOf(plan, pace, 1_000_000)).toMatchObject({ seconds: 102, basis: 'limits.bandwidth_bps' })
  })
})

describe('the pause before the next attempt', () => {
  it('never becomes longer than an hour, whatever the destination asks for', async () => {
    const { failure } = await import('../../../src/destinations/failures.ts')
    const cause = failure('throttled', 'h', { retryAfterMs: 10 ** 9 })
    const claim = { task: { attempts: 1 }, maxAttempts: 5, spent: null } as never

    expect(endingOf(cause, claim, 'preflight', null)).toMatchObject({ status: 'again', delayMs: 3_600_000 })
  })
})
