import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { Credentials } from '../../../src/destinations/destination.ts'
import { ownerId, taskId } from '../../../src/domain/ids.ts'
import type { Sealed, TaskSecrets } from '../../../src/export/ports.ts'
import { type Keys, namedKeys } from '../../../src/vault/keys.ts'
import { createOpener } from '../../../src/vault/opener.ts'
import { createSealer } from '../../../src/vault/sealer.ts'

const TASK = taskId('43215678-4321-4321-8321-432156789abc')
const OTHER = taskId('43215678-4321-4321-8321-432156789abd')
const OWNER = ownerId('demo')
const credentials = { kind: 'basic', username: 'u', password: 'CANARY' }
const seal = (by: Keys, secrets: TaskSecrets = { credentials }) => {
  const made = createSealer(by).seal(TASK, OWNER, secrets)
  if (!made) throw new Error('there is something to seal')
  return made
}
const openWith = (by: Keys, sealed: Sealed) => {
  const { credentials, diskKey } = createOpener(by).open(TASK, OWNER, sealed)
  return { credentials: credentials?.unwrap(), diskKey: diskKey?.unwrap() }
}
const keys = (...ids: string[]): Keys => ({
  current: ids[0] ?? 'k1',
  byId: new Map(ids.map((id) => [id, randomBytes(32)]))
})

describe('vault', () => {
  it('opens what it sealed, and shows nothing of it before', () => {
    const own = keys('k1')
    const { kind, sealed } = seal(own)
    expect(kind).toBe('basic')
    expect(Buffer.concat([sealed.wrappedKey, sealed.ciphertext]).includes('CANARY')).toBe(false)

    const opened = createOpener(own).open(TASK, OWNER, sealed)

    expect(JSON.stringify(opened)).toBe('{"credentials":"[redacted]"}')
    expect(`${opened.credentials}`).toBe('[redacted]')
    expect(opened.credentials?.unwrap()).toEqual(credentials)
  })

  it.each([
    ['credentials alone', { credentials }],
    ['a disk key alone', { diskKey: 'CANARY key' }],
    ['both', { credentials, diskKey: 'CANARY key' }]
  ])('opens %s as they were', (_what, secrets: TaskSecrets) => {
    const own = keys('k1')
    const { kind, fingerprint, sealed } = seal(own, secrets)

    const opened = createOpener(own).open(TASK, OWNER, sealed)

    expect([kind, fingerprint !== null]).toEqual(secrets.credentials ? ['basic', true] : [null, false])
    expect(sealed.ciphertext.includes('CANARY')).toBe(false)
    expect(JSON.stringify(opened)).not.toContain('CANARY')
    expect(openWith(own, sealed)).toEqual({ credentials: undefined, diskKey: undefined, ...secrets })
  })

  it('seals nothing where there is nothing to seal', () => {
    expect(createSealer(keys('k1')).seal(TASK, OWNER, {})).toBeNull()
  })

  it('does not open for another task, another owner, a changed byte or a short tag', () => {
    const own = keys('k1')
    const { open } = createOpener(own)
    const { sealed } = seal(own)
    const flipped = Buffer.from(sealed.ciphertext)
    flipped[20] = (flipped[20] ?? 0) ^ 1
    const lost = expect.objectContaining({ code: 'CREDENTIALS_PURGED' })

    expect(() => open(OTHER, OWNER, sealed)).toThrow(lost)
    expect(() => open(TASK, ownerId('else'), sealed)).toThrow(lost)
    expect(() => open(TASK, OWNER, { ...sealed, ciphertext: flipped })).toThrow(lost)
    expect(() => open(TASK, OWNER, { ...sealed, ciphertext: sealed.ciphertext.subarray(0, 27) })).toThrow(lost)
  })

  it('makes other bytes of the same credentials every time', () => {
    const own = keys('k1')
    const [one, two] = [seal(own), seal(own)]
    expect(one.sealed.ciphertext).not.toEqual(two.sealed.ciphertext)
    expect(one.sealed.wrappedKey).not.toEqual(two.sealed.wrappedKey)
  })

  it('opens with an older key after a rotation, and no longer once that key is gone', () => {
    const old = keys('k1')
    const { sealed } = seal(old)
    const rotated: Keys = { current: 'k2', byId: new Map([...old.byId, ['k2', randomBytes(32)]]) }

    expect(openWith(rotated, sealed)).toEqual({ credentials, diskKey: undefined })
    expect(seal(rotated).sealed.keyId).toBe('k2')
    expect(() => createOpener(keys('k2')).open(TASK, OWNER, sealed)).toThrow(
      expect.objectContaining({ code: 'CREDENTIALS_PURGED' })
    )
  })

  it('with keys of the environment seals with the first and opens with all', () => {
    const [old, fresh] = [randomBytes(32), randomBytes(32)]
    const { sealed } = seal(namedKeys([old]))
    const rotated = namedKeys([fresh, old])

    expect(openWith(rotated, sealed)).toEqual({ credentials, diskKey: undefined })
    expect(seal(rotated).sealed.keyId).toBe(namedKeys([fresh]).current)
  })
})

describe('fingerprint', () => {
  const own = keys('k1')
  const of = (more: object, by = own) =>
    seal(by, { credentials: { ...credentials, ...more } as Credentials }).fingerprint

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
