import { describe, expect, it } from 'vitest'
import { failure } from '../../../src/destinations/failures.ts'
import { diskReaders } from '../../../src/disks/registry.ts'
import { GiB } from '../../../src/domain/bytes.ts'
import { DestinationInvalid } from '../../../src/domain/destination-errors.ts'
import { type ExportOptions, NO_OPTIONS } from '../../../src/domain/export-options.ts'
import { imageId, ownerId } from '../../../src/domain/ids.ts'
import { NO_LABELS } from '../../../src/domain/task.ts'
import { preflightExport } from '../../../src/export/requests/preflight-export.ts'
import type { ExportBody } from '../../../src/export/requests/resolve-request.ts'
import { createFormats } from '../../../src/formats/registry.ts'
import { memoryDestination } from '../../support/memory-destination.ts'
import { FACTS, scrubPolicy } from '../../support/scrub-policy.ts'
import { IMAGE, imageFile, images, onlyDestination, SOURCE, silent } from './one-task.ts'

const VIEWER = { owner: ownerId('demo'), userId: 'u', roles: ['member'], admin: false }
const BODY: ExportBody = {
  imageId: imageId('deadbeef-dead-dead-dead-beefbeefbeef'),
  exportTo: 'memory://place/folder',
  exportFormat: 'raw',
  formatOptions: {},
  options: NO_OPTIONS,
  labels: NO_LABELS
}
const PASSING = [
  { id: 'dest.auth', run: async () => undefined },
  { id: 'dest.limits', run: async () => ({ parts: 3 }) }
] as const

function ask(
  body: Partial<ExportBody> = {},
  place = memoryDestination({ checks: PASSING }),
  change: Partial<Parameters<typeof preflightExport>[0]> = {}
) {
  return preflightExport({
    tasks: {
      exportableImage: async () => ({ status: 'active', name: 'web', source: SOURCE, facts: FACTS }),
      pace: async () => undefined
    },
    images,
    readers: diskReaders(),
    limits: { maxVirtualSize: 2 ** 40 },
    formats: createFormats(),
    destinations: onlyDestination(place.destination),
    log: silent,
    scrubPolicy: scrubPolicy(),
    ...change
  })(VIEWER, { ...BODY, ...body })
}

describe('a dry run', () => {
  it('answers every check in order, and what the export will cost', async () => {
    const report = await ask()

    expect(report.ok).toBe(true)
    expect(report.checks.map(({ id, skipped }) => [id, skipped ?? false])).toEqual([
      ['image.active', false],
      ['image.exportable', false],
      ['scrub', true],
      ['format.supported', false],
      ['format.limit', false],
      ['dest.address_allowed', false],
      ['credentials.lifetime', true],
      ['dest.auth', false],
      ['dest.limits', false],
      ['dest.collision', false],
      ['quota', true]
    ])
    expect(report.checks.find(({ id }) => id === 'dest.limits')?.detail).toEqual({ parts: 3 })
    expect(report.estimate).toMatchObject({ bytesMin: IMAGE.length, bytesMax: IMAGE.length })
  })

  it('writes nothing', async () => {
    const place = memoryDestination()

    await ask({}, place)

    expect(place.calls).toEqual(['find'])
    expect(place.objects.size).toBe(0)
  })

  it('says what is wrong and whose turn it is, and leaves out what rests on it', async () => {
    const place = memoryDestination({
      checks: [{ id: 'dest.auth', run: () => Promise.reject(failure('unauthorized', 'memory')) }, PASSING[1]]
    })

    const { ok, checks } = await ask({}, place)

    expect(ok).toBe(false)
    expect(checks).toContainEqual({
      id: 'dest.auth',
      ok: false,
      code: 'DEST_AUTH_FAILED',
      message: expect.stringContaining('send valid ones'),
      actor: 'user'
    })
    expect(checks).toContainEqual({ id: 'dest.limits', ok: false, skipped: true })
    expect(checks).toContainEqual({ id: 'dest.collision', ok: false, skipped: true })
  })

  it('looks at the destination even when the image cannot be exported, and the other way round', async () => {
    const tasks = {
      exportableImage: async () => ({ status: 'queued', name: null, source: undefined, facts: FACTS }),
      pace: async () => undefined
    }

    const { ok, checks, estimate } = await ask({}, undefined, { tasks })

    expect(ok).toBe(false)
    expect(checks[0]).toMatchObject({ id: 'image.active', ok: false, code: 'IMAGE_NOT_ACTIVE' })
    expect(checks.find(({ id }) => id === 'dest.auth')).toEqual({ id: 'dest.auth', ok: true })
    expect(estimate).toBeNull()
  })

  it('refuses a hostile image as an export would', async () => {
    const hostile = Buffer.alloc(SOURCE.size)
    hostile.write('QFI\xfb', 'latin1')

    const { checks } = await ask({}, undefined, { images: { open: async () => imageFile(hostile) } })

    expect(checks[1]).toMatchObject({ id: 'image.exportable', ok: false, code: 'IMAGE_UNSAFE' })
  })

  it('refuses a file with more clusters than its format can count, before the destination is asked to take it', async () => {
    const source = { ...SOURCE, size: 126 * GiB }
    const huge = { ...imageFile(), size: source.size }
    const body = { exportFormat: 'qcow2', formatOptions: { cluster_size: 512 } }

    const { ok, checks } = await ask(body, undefined, {
      tasks: {
        exportableImage: async () => ({ status: 'active', name: 'web', source, facts: FACTS }),
        pace: async () => undefined
      },
      images: { open: async () => huge }
    })

    expect(ok).toBe(false)
    expect(checks.find(({ id }) => id === 'format.limit')).toMatchObject({
      ok: false,
      code: 'FORMAT_LIMIT_EXCEEDED',
      message: expect.stringContaining('choose a larger cluster_size'),
      actor: 'user'
    })
  })

  it('tells what the policy would do about an object that stands there', async () => {
    const place = memoryDestination()
    const named = { object: { key_template: 'disk.raw' } }
    const put = async (url: string) => {
      const upload = await place.destination.open(
        { url: new URL(url), length: 0, marks: { exportId: 'other' }, object: { replace: true } } as never,
        new AbortController().signal
      )
      await upload.commit(new AbortController().signal)
    }
    await put('memory://place/folder/disk.raw')
    const decide = async (if_exists: 'fail' | 'replace' | 'suffix') => {
      const options = { ...NO_OPTIONS, object: { ...named.object, if_exists } }
      return (await ask({ options }, place)).checks.find(({ id }) => id === 'dest.collision')
    }

    expect(await decide('fail')).toMatchObject({ ok: false, code: 'DEST_OBJECT_EXISTS' })
    expect(await decide('replace')).toMatchObject({ ok: true, detail: { decision: 'replace' } })
    expect(await decide('suffix')).toMatchObject({
      ok: true,
      detail: { decision: 'write', object: 'memory://place/folder/disk-1.raw' }
    })
  })

  it('warns of credentials that may end before the export does, and refuses those that have ended', async () => {
    const lifetime = async (seconds: number) => {
      const query = `temp_url_expires=${Math.floor(Date.now() / 1000) + seconds}&temp_url_sig=x`
      const { checks } = await ask({ credentials: { kind: 'presigned', query } })
      return checks.find(({ id }) => id === 'credentials.lifetime')
    }

    expect(await lifetime(3600)).toMatchObject({ ok: true, detail: { seconds_estimated: 3 } })
    expect(await lifetime(2)).toMatchObject({ ok: true, code: 'CREDENTIALS_MAY_EXPIRE_BEFORE_END' })
    expect(await lifetime(-10)).toMatchObject({ ok: false, code: 'DEST_CREDENTIALS_EXPIRED' })
  })

  describe('where nobody may look', () => {
    const asking = async (options: Partial<ExportOptions>, failing?: (call: string) => void) => {
      const place = memoryDestination({ blind: true, ...(failing && { failing }) })
      const { checks } = await ask({ options: { ...NO_OPTIONS, ...options } }, place)
      return { place, check: (id: string) => checks.find((one) => one.id === id) }
    }

    it('says that the policy may not be kept', async () => {
      const { check } = await asking({ object: { if_exists: 'fail' } })

      const detail = { decision: 'write', existing: 'unknown', object: expect.any(String) }
      expect(check('dest.collision')).toMatchObject({ ok: true, code: 'COLLISION_NOT_SEEN', detail })
    })

    it('does not call it replacing by the policy fail, also under a name of its own', async () => {
      const { check } = await asking({})

      expect(check('dest.collision')).toMatchObject({ ok: true, detail: { decision: 'write', existing: 'unknown' } })
    })

    it.each(['ranges', 'full'] as const)(
      'tries whether it can be verified by %s, and leaves nothing',
      async (verify) => {
        const { place, check } = await asking({ verify })

        expect(check('dest.read_back')).toEqual({ id: 'dest.read_back', ok: true })
        expect(place.calls).toContain('read')
        expect(place.objects.size).toBe(0)
      }
    )

    it('refuses to verify what may not be read, before anything is sent', async () => {
      const { place, check } = await asking({ verify: 'full' }, (call) => {
        if (call === 'read') throw failure('forbidden', 'memory')
      })

      const expected = { ok: false, code: 'DEST_FORBIDDEN', message: expect.stringContaining('verification') }
      expect(check('dest.read_back')).toMatchObject(expected)
      expect(place.objects.size).toBe(0)
    })
  })

  it('asks nobody with credentials that have ended', async () => {
    const place = memoryDestination({ checks: PASSING })
    const query = `temp_url_expires=${Math.floor(Date.now() / 1000) - 10}&temp_url_sig=x`

    const { checks } = await ask({ credentials: { kind: 'presigned', query } }, place)

    expect(checks).toContainEqual({ id: 'dest.auth', ok: false, skipped: true })
    expect(place.calls).toEqual([])
  })

  it('says of a check that could not be made why', async () => {
    const checks = [{ id: 'dest.write_probe', run: async () => ({ skipped: 'it could not be removed' }) }] as const

    const report = await ask({}, memoryDestination({ checks }))

    const expected = { id: 'dest.write_probe', ok: true, skipped: true, detail: { why: 'it could not be removed' } }
    expect(report.checks).toContainEqual(expected)
  })

  it('finds an address that is not allowed in its place among the checks', async () => {
    const place = memoryDestination()
    const destination = {
      ...place.destination,
      check: () => {
        throw new DestinationInvalid('DEST_ADDRESS_FORBIDDEN', '/export_to', 'No.')
      }
    }

    const { checks } = await ask({}, undefined, { destinations: onlyDestination(destination) })

    expect(checks[5]).toMatchObject({ id: 'dest.address_allowed', ok: false, code: 'DEST_ADDRESS_FORBIDDEN' })
    expect(place.calls).toEqual([])
  })

  it('refuses credentials of a wrong kind as a request, not as a check', async () => {
    const destination = {
      ...memoryDestination().destination,
      check: () => {
        throw new DestinationInvalid('DEST_CREDENTIALS_INVALID', '/export_to_credentials/kind', 'No.')
      }
    }

    await expect(ask({}, undefined, { destinations: onlyDestination(destination) })).rejects.toMatchObject({
      code: 'DEST_CREDENTIALS_INVALID'
    })
  })
})
