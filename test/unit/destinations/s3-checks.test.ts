import { afterAll, describe, expect, it } from 'vitest'
import type { DestinationCheck } from '../../../src/destinations/destination.ts'
import { failure } from '../../../src/destinations/failures.ts'
import { createDestinations } from '../../../src/destinations/registry.ts'
import { storeChecks } from '../../../src/destinations/s3/checks.ts'
import { GiB, MiB } from '../../../src/domain/bytes.ts'
import { createHashers } from '../../../src/hashing/hashers.ts'
import { uploadTarget } from '../../support/upload-target.ts'
import { errorBody, s3Harness } from './s3-harness.ts'

const hashers = createHashers(1)
afterAll(() => hashers.close())
const never = new AbortController().signal

/** Each check by its own, whatever the others say. */
async function outcomes(checks: readonly DestinationCheck[]) {
  const entries = checks.map(async ({ id, run }) => [
    id,
    await run(never).then(
      (facts) => facts ?? 'passed',
      (error: { code: string }) => error.code
    )
  ])
  return Object.fromEntries(await Promise.all(entries))
}

const isList = ({ method, url }: { method: string; url: string }) => method === 'GET' && url.includes('uploads')
const isCreate = ({ method, url }: { method: string; url: string }) => method === 'POST' && url.includes('uploads')

describe('the checks of an s3 target', () => {
  it('show how the object will be cut', async () => {
    await using harness = await s3Harness(hashers)

    const { 'dest.limits': limits } = await outcomes(harness.destination.checks(harness.target(1000 * GiB)))

    expect(limits).toEqual({ part_bytes: 114 * MiB, parts: 8983, largest_object_bytes: 50_000 * GiB })
  })

  it('refuse what no plan can hold', async () => {
    await using harness = await s3Harness(hashers)

    const { 'dest.limits': limits } = await outcomes(harness.destination.checks(harness.target(50_001 * GiB)))

    expect(limits).toBe('DEST_LIMIT_EXCEEDED')
  })

  it('pass with keys that may write and not list', async () => {
    await using harness = await s3Harness(hashers)
    harness.faults.inject({ kind: 'answer', status: 403, body: errorBody('AccessDenied') }, isList, 9)

    expect(await outcomes(harness.destination.checks(harness.target(1)))).toMatchObject({
      'dest.auth': 'passed',
      'dest.container': 'passed',
      'dest.write_probe': 'passed'
    })
  })

  it('name the metadata that cannot be kept', async () => {
    await using harness = await s3Harness(hashers)
    const target = { ...harness.target(1), object: { replace: false, metadata: { fine: 'a', under_score: 'b' } } }

    const limits = harness.destination.checks(target).find(({ id }) => id === 'dest.limits')

    const wanted = { code: 'DEST_REJECTED', message: expect.stringContaining('"under_score"') }
    await expect(limits?.run(never)).rejects.toMatchObject(wanted)
  })

  it('say where the store has to be named when nobody has, and Amazon does not know the keys', async () => {
    const calls = { askBucket: () => Promise.reject(failure('unauthorized', 'b.s3.us-east-1.amazonaws.com')) }
    const asking = (endpoint: string) => {
      const checks = storeChecks(new URL(endpoint), uploadTarget('s3://b', 1), {} as never, async () => calls as never)
      return checks.find(({ id }) => id === 'dest.auth')?.run(never)
    }

    const advice = 'endpoint in export_to_credentials'
    const told = { code: 'DEST_AUTH_FAILED', permanent: true, message: expect.stringContaining(advice) }
    await expect(asking('https://b.s3.us-east-1.amazonaws.com')).rejects.toMatchObject(told)
    const plain = { code: 'DEST_AUTH_FAILED', message: expect.not.stringContaining(advice) }
    await expect(asking('https://s3.example.com')).rejects.toMatchObject(plain)
  })

  it('find keys that may list and not write', async () => {
    await using harness = await s3Harness(hashers)
    harness.faults.inject({ kind: 'answer', status: 403, body: errorBody('AccessDenied') }, isCreate)

    expect(await outcomes(harness.destination.checks(harness.target(1)))).toMatchObject({
      'dest.auth': 'passed',
      'dest.write_probe': 'DEST_FORBIDDEN'
    })
  })

  it.each([
    ['SignatureDoesNotMatch', 403, 'DEST_AUTH_FAILED'],
    ['ExpiredToken', 400, 'DEST_CREDENTIALS_EXPIRED'],
    ['RequestTimeTooSkewed', 403, 'DEST_AUTH_FAILED'],
    ['AuthorizationHeaderMalformed', 400, 'DEST_REJECTED']
  ])('tell %s', async (s3Code, status, code) => {
    await using harness = await s3Harness(hashers)
    harness.faults.inject({ kind: 'answer', status, body: errorBody(s3Code) }, isList, 9)

    expect(await outcomes(harness.destination.checks(harness.target(1)))).toMatchObject({ 'dest.auth': code })
  })

  it('tell a bucket that is not there from keys that are not known', async () => {
    await using harness = await s3Harness(hashers)

    expect(await outcomes(harness.destination.checks(harness.target(1, 's3://missing')))).toMatchObject({
      'dest.auth': 'passed',
      'dest.container': 'DEST_CONTAINER_NOT_FOUND'
    })
  })

  it('ask about TLS first where there is any', () => {
    const destinations = createDestinations({ hashers, allowedNetworks: [], allowedEndpoints: [] })
    const keys = { kind: 's3_static', access_key_id: 'a', secret_access_key: 'b' }
    const checks = destinations.forScheme('s3').checks(uploadTarget('s3://exports', 1, keys))

    expect(checks.map(({ id }) => id)).toEqual([
      'dest.tls',
      'dest.auth',
      'dest.container',
      'dest.limits',
      'dest.write_probe'
    ])
    destinations.close()
  })
})
