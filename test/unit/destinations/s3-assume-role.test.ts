import { afterAll, describe, expect, it } from 'vitest'
import type { Credentials } from '../../../src/destinations/destination.ts'
import { MiB } from '../../../src/domain/bytes.ts'
import { createHashers } from '../../../src/hashing/hashers.ts'
import { PATIENT } from '../../contracts/destination.contract.ts'
import { stsServer } from '../../support/sts-server.ts'
import { bytes, s3Harness } from './s3-harness.ts'

const hashers = createHashers(1)
afterAll(() => hashers.close())
const never = new AbortController().signal

const MINUTE_MS = 60_000
const ROLE = 'arn:aws:iam::123456789012:role/exporter'

/** A store that knows only the newest session of the role. */
async function start(sts: Partial<Parameters<typeof stsServer>[0]> = {}, changes: Partial<Credentials> = {}) {
  const keys: Record<string, string> = {}
  const tokens = await stsServer({
    lifeMs: 60 * MINUTE_MS,
    onSession(keyId, token) {
      for (const old of Object.keys(keys)) delete keys[old]
      keys[keyId] = token
    },
    ...sts
  })
  const role = {
    kind: 's3_assume_role',
    role_arn: ROLE,
    sts_endpoint: `http://127.0.0.1:${tokens.port}`,
    ...changes
  }
  const harness = await s3Harness(hashers, role, PATIENT, { keys })
  return {
    ...harness,
    asked: tokens.asked,
    stsPort: tokens.port,
    async [Symbol.asyncDispose]() {
      await harness[Symbol.asyncDispose]()
      await tokens[Symbol.asyncDispose]()
    }
  }
}

async function store(harness: Awaited<ReturnType<typeof start>>, parts: number) {
  const length = parts * 16 * MiB
  const target = harness.target(length)
  const upload = await harness.destination.open(target, never)
  for (let index = 0; index < parts; index += 1) {
    const part = { number: index + 1, offset: index * upload.partBytes, length: upload.partBytes }
    await upload.putPart(part, bytes(part.length), never)
  }
  await upload.commit(never)
  return target
}

describe('an s3 role', () => {
  it('is assumed once for all that is done with it', async () => {
    await using harness = await start({}, { external_id: 'customer/7', duration_seconds: 900 })

    const target = await store(harness, 2)
    await harness.destination.find(target, never)

    expect(harness.asked).toEqual([
      {
        keyId: 'AKIATEST',
        form: {
          Action: 'AssumeRole',
          Version: '2011-06-15',
          RoleArn: ROLE,
          RoleSessionName: `glance-export-${target.marks.taskId}`,
          DurationSeconds: '900',
          ExternalId: 'customer/7'
        }
      }
    ])
    expect(harness.stored(target.url)?.body.length).toBe(32 * MiB)
  })

  it('is assumed again before a session ends, in the middle of an upload', async () => {
    await using harness = await start({ lifeMs: 4 * MINUTE_MS })

    const target = await store(harness, 3)

    expect(harness.asked.length).toBeGreaterThan(3)
    expect(harness.stored(target.url)?.body.length).toBe(48 * MiB)
  })

  it('has sessions of the name that was given', async () => {
    await using harness = await start({}, { session_name: 'nightly@export' })

    await store(harness, 1)

    expect(harness.asked[0]?.form.RoleSessionName).toBe('nightly@export')
  })

  it.each([
    ['AccessDenied', 403, 'DEST_AUTH_FAILED', true, 'role_arn'],
    ['ValidationError', 400, 'DEST_AUTH_FAILED', true, 'role_arn'],
    ['NoSuchEntity', 404, 'DEST_AUTH_FAILED', true, 'role_arn'],
    ['InvalidClientTokenId', 403, 'DEST_AUTH_FAILED', true, 'credentials'],
    ['ExpiredToken', 403, 'DEST_CREDENTIALS_EXPIRED', true, 'expired'],
    ['Throttling', 400, 'DEST_THROTTLED', false, 'slow down'],
    ['InternalFailure', 500, 'DEST_REJECTED', false, 'error of its own']
  ])('that is refused with %s is told as the token service told it', async (s3Code, status, code, permanent, says) => {
    await using harness = await start({ refusal: { status, code: s3Code } })

    const opening = harness.destination.open(harness.target(1), never)

    await expect(opening).rejects.toMatchObject({ code, permanent, message: expect.stringContaining(says) })
    await expect(opening).rejects.toThrow(`127.0.0.1:${harness.stsPort} `)
    await expect(opening).rejects.not.toThrow('hostile')
  })

  it('cannot be assumed at an address that is forbidden', async () => {
    await using harness = await start({}, { sts_endpoint: 'http://169.254.169.254' })

    await expect(harness.destination.open(harness.target(1), never)).rejects.toMatchObject({
      code: 'DEST_ADDRESS_FORBIDDEN'
    })
  })
})
