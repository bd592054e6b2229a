import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { KiB } from '../../../src/domain/bytes.ts'
import type { Checksum, ExportOptions, Sidecar, VerifyLevel } from '../../../src/domain/export-options.ts'
import { memoryDestination } from '../../support/memory-destination.ts'
import { IMAGE, oneTask, testEngine } from './one-task.ts'

const engine = testEngine()
const digest = (name: string, bytes: Uint8Array) => createHash(name).update(bytes).digest('hex')
const VERIFIED = 'memory://place/folder/disk.raw'

type Wish = { verify?: VerifyLevel; sidecars?: readonly Sidecar[]; checksums?: readonly Checksum[] }
const LAID_OUT = {}
const PACKED = { exportFormat: 'qcow2', formatOptions: { compression: 'zlib' } } as const
const PLACE = { anyOrder: true, partBytes: 64 * KiB }

/** An export to a named place, with the policy `reuse` unless it says otherwise. */
async function exported(
  place: ReturnType<typeof memoryDestination>,
  wish: Wish = {},
  format: object = LAID_OUT,
  object: ExportOptions['object'] = { if_exists: 'reuse' }
) {
  const options = { ...wish, object: { key_template: 'disk.raw', ...object } }
  const task = oneTask(place.destination, engine, { ...format, options })
  await task.runOnce()
  return task.row
}

/** Changes one byte of what stands at a name. */
function corrupt(place: ReturnType<typeof memoryDestination>, url = VERIFIED) {
  const stored = place.objects.get(url)
  if (!stored) throw new Error('nothing stands there')
  const bytes = Buffer.from(stored.bytes)
  bytes.writeUInt8(bytes.readUInt8(0) ^ 1, 0)
  place.objects.set(url, { ...stored, bytes })
}

describe.each([
  ['laid out', LAID_OUT],
  ['compressed', PACKED]
])('an object that stands there already, %s', (_case, format) => {
  it.each<VerifyLevel>(['ranges', 'full'])('is read back at the level %s', async (verify) => {
    const place = memoryDestination(PLACE)
    await exported(place, {}, format)
    place.calls.length = 0

    const row = await exported(place, { verify }, format)

    expect(row).toMatchObject({
      status: 'success',
      result: { reused: true, parts: 0, verify: { level: verify, ok: true } }
    })
    expect(place.calls).toContain('read')
    expect(place.calls).not.toContain('open')
  })

  it.each<VerifyLevel>(['ranges', 'full'])(
    'is no success when its bytes differ at the level %s, and stays',
    async (verify) => {
      const place = memoryDestination(PLACE)
      await exported(place, { sidecars: ['manifest'] }, format)
      corrupt(place)

      const row = await exported(place, { verify, sidecars: ['manifest'] }, format)

      expect(row).toMatchObject({ status: 'failure', failure: { code: 'DEST_OBJECT_EXISTS', actor: 'user' } })
      expect(row.message).toMatch(/if_exists/)
      expect(place.objects.has(VERIFIED)).toBe(true)
    }
  )
})

it('an object is no success with a manifest that was made to fit it', async () => {
  const place = memoryDestination(PLACE)
  await exported(place, { sidecars: ['manifest'] })
  corrupt(place)
  const forged = place.objects.get(`${VERIFIED}.manifest.json`)
  const changed = place.objects.get(VERIFIED)?.bytes ?? Buffer.of()
  if (!forged) throw new Error('there is no manifest')
  const text = forged.bytes.toString().replace(digest('sha256', IMAGE), digest('sha256', changed))
  place.objects.set(`${VERIFIED}.manifest.json`, { ...forged, bytes: Buffer.from(text) })

  const row = await exported(place, { verify: 'full' })

  expect(row).toMatchObject({ status: 'failure', failure: { code: 'DEST_OBJECT_EXISTS' } })
})

describe('digests that were asked for of an object that stands there already', () => {
  it('are those of its manifest', async () => {
    const readBack: string[] = []
    const failing = (call: string, { url }: { url: URL }) => {
      if (call === 'read') readBack.push(url.href)
    }
    const place = memoryDestination({ ...PLACE, failing })
    await exported(place, { sidecars: ['manifest'], checksums: ['sha512'] })

    const row = await exported(place, { checksums: ['sha512'] })

    const checksums = { sha512: digest('sha512', IMAGE) }
    expect(row).toMatchObject({
      status: 'success',
      result: { reused: true, sha256: digest('sha256', IMAGE), checksums }
    })
    expect(new Set(readBack)).toEqual(new Set([`${VERIFIED}.manifest.json`]))
  })

  it('are of the object, read whole, where no manifest tells them', async () => {
    const place = memoryDestination(PLACE)
    await exported(place)

    const row = await exported(place, { checksums: ['md5'] })

    expect(row.result).toMatchObject({ checksums: { md5: digest('md5', IMAGE) }, verify: { level: 'full', ok: true } })
  })

  it('are never those of a manifest that the bytes do not bear out', async () => {
    const place = memoryDestination(PLACE)
    await exported(place)
    corrupt(place)

    const row = await exported(place, { checksums: ['md5'] })

    expect(row.failure?.code).toBe('DEST_OBJECT_EXISTS')
  })
})

describe('sidecars of an object that stands there already', () => {
  it('are written where they are missing', async () => {
    const place = memoryDestination(PLACE)
    await exported(place)

    const row = await exported(place, { sidecars: ['sha256', 'manifest'] })

    expect(row.result?.sidecars).toEqual({ sha256: `${VERIFIED}.sha256`, manifest: `${VERIFIED}.manifest.json` })
    expect(place.objects.get(`${VERIFIED}.sha256`)?.bytes.toString()).toBe(`${digest('sha256', IMAGE)}  disk.raw\n`)
    expect(place.objects.has(`${VERIFIED}.manifest.json`)).toBe(true)
  })

  it('stay as they are where they say the same', async () => {
    const place = memoryDestination(PLACE)
    await exported(place, { sidecars: ['sha256', 'manifest'] })
    const before = place.objects.get(`${VERIFIED}.manifest.json`)
    place.calls.length = 0

    const row = await exported(place, { sidecars: ['sha256', 'manifest'] })

    expect(row).toMatchObject({ status: 'success', warnings: [], result: { reused: true } })
    expect(row.result?.sidecars).toHaveProperty('manifest')
    expect(place.objects.get(`${VERIFIED}.manifest.json`)).toBe(before)
    expect(place.calls).not.toContain('open')
  })
})
