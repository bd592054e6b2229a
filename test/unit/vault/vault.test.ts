import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { Credentials } from '../../../src/destinations/destination.ts'
import { ownerId, taskId } from '../../../src/domain/ids.ts'
import { type Keys, namedKeys } from '../../../src/vault/keys.ts'
import { createOpener } from '../../../src/vault/opener.ts'
import { createSealer } from '../../../src/vault/sealer.ts'

const TASK = taskId('43215678-4321-4321-8321-432156789abc')
const OTHER = taskId('43215678-4321-4321-8321-432156789abd')
const OWNER = ownerId('demo')
const credentials = { kind: 'basic', username: 'u', password: 'CANARY' }
const keys = (...ids: string[]): Keys => ({
  current: ids[0] ?? 'k1',
  byId: new Map(ids.map((id) => [id, randomBytes(32)]))
})

describe('vault', () => {
  it('opens what it sealed, and shows nothing of it before', () => {
    const own = keys('k1')
    const { kind, sealed } = createSealer(own).seal(TASK, OWNER, credentials)
    expect(kind).toBe('basic')
    expect(Buffer.concat([sealed.wrappedKey, sealed.ciphertext]).includes('CANARY')).toBe(false)

    const opened = createOpener(own).open(TASK, OWNER, sealed)

    expect(JSON.stringify({ opened })).toBe('{"opened":"[redacted]"}')
    expect(`${opened}`).toBe('[redacted]')
    expect(opened.unwrap()).toEqual(credentials)
  })

  it('does not open for another task, another owner, a changed byte or a short tag', () => {
    const own = keys('k1')
    const { open } = createOpener(own)
    const { sealed } = createSealer(own).seal(TASK, OWNER, credentials)
    const flipped = Buffer.from(sealed.ciphertext)
    flipped[20] = (flipped[20] ?? 0) ^ 1
    const lost = expect.objectContaining({ code: 'CREDENTIALS_PURGED' })

    expect(() => open(OTHER, OWNER, sealed)).toThrow(lost)
    expect(() => open(TASK, ownerId('else'), sealed)).toThrow(lost)
    expect(() => open(TASK, OWNER, { ...sealed, ciphertext: flipped })).toThrow(lost)
    expect(() => open(TASK, OWNER, { ...sealed, ciphertext: sealed.ciphertext.subarray(0, 27) })).toThrow(lost)
  })

  it('makes other bytes of the same credentials every time', () => {
    const sealer = createSealer(keys('k1'))
    const [one, two] = [sealer.seal(TASK, OWNER, credentials), sealer.seal(TASK, OWNER, credentials)]
    expect(one.sealed.ciphertext).not.toEqual(two.sealed.ciphertext)
    expect(one.sealed.wrappedKey).not.toEqual(two.sealed.wrappedKey)
  })

  it('opens with an older key after a rotation, and no longer once that key is gone', () => {
    const old = keys('k1')
    const { sealed } = createSealer(old).seal(TASK, OWNER, credentials)
    const rotated: Keys = { current: 'k2', byId: new Map([...old.byId, ['k2', randomBytes(32)]]) }

    expect(createOpener(rotated).open(TASK, OWNER, sealed).unwrap()).toEqual(credentials)
    expect(createSealer(rotated).seal(TASK, OWNER, credentials).sealed.keyId).toBe('k2')
    expect(() => createOpener(keys('k2')).open(TASK, OWNER, sealed)).toThrow(
      expect.objectContaining({ code: 'CREDENTIALS_PURGED' })
    )
  })

  it('with keys of the environment seals with the first and opens with all', () => {
    const [old, fresh] = [randomBytes(32), randomBytes(32)]
    const { sealed } = createSealer(namedKeys([old])).seal(TASK, OWNER, credentials)
    const rotated = namedKeys([fresh, old])

    expect(createOpener(rotated).open(TASK, OWNER, sealed).unwrap()).toEqual(credentials)
    expect(createSealer(rotated).seal(TASK, OWNER, credentials).sealed.keyId).toBe(namedKeys([fresh]).current)
  })
})

describe('fingerprint', () => {
  const own = keys('k1')
  const of = (more: object, by = own) =>
    createSealer(by).seal(TASK, OWNER, { ...credentials, ...more } as Credentials).fingerprint

  it('is the same for the same login, whatever the password, and another for another login', () => {
    expect(of({})).toMatch(/^[0-9a-f]{12}$/)
    expect(of({ password: 'other' })).toBe(of({}))
    expect(of({ username: 'v' })).not.toBe(of({}))
    expect(of({ auth_url: 'https://keystone.example/v3' })).not.toBe(of({}))
    expect(of({ kind: 'password' })).not.toBe(of({}))
  })

  it('can be made by nobody who has not the key', () => {
    expect(of({}, keys('k1'))).not.toBe(of({}))
  })

  it('shows the ends of an access key id, and of no short one', () => {
    expect(of({ kind: 's3_static', access_key_id: 'AKIAIOSFODNN7EXA4F2Q' })).toBe('AKIA…4F2Q')
    expect(of({ kind: 's3_static', access_key_id: 'testkey' })).toMatch(/^[0-9a-f]{12}$/)
  })

  it('tells secrets apart where there is no login', () => {
    const bearer = (token: string) => of({ kind: 'bearer', username: undefined, password: undefined, token })
    expect(bearer('a')).toBe(bearer('a'))
    expect(bearer('a')).not.toBe(bearer('b'))
  })
})
