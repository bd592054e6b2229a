import { randomBytes } from 'node:crypto'
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ownerId, taskId } from '../../../src/domain/ids.ts'
import { type Keys, readKeys, readOrMakeKeys } from '../../../src/vault/keys.ts'
import { createVault } from '../../../src/vault/vault.ts'

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
    const vault = createVault(keys('k1'))
    const sealed = vault.seal(TASK, OWNER, credentials)
    expect(Buffer.concat([sealed.wrappedKey, sealed.ciphertext]).includes('CANARY')).toBe(false)

    const opened = vault.open(TASK, OWNER, sealed)

    expect(JSON.stringify({ opened })).toBe('{"opened":"[redacted]"}')
    expect(`${opened}`).toBe('[redacted]')
    expect(opened.unwrap()).toEqual(credentials)
  })

  it('does not open for another task, another owner, a changed byte or a short tag', () => {
    const vault = createVault(keys('k1'))
    const sealed = vault.seal(TASK, OWNER, credentials)
    const flipped = Buffer.from(sealed.ciphertext)
    flipped[20] = (flipped[20] ?? 0) ^ 1
    const lost = expect.objectContaining({ code: 'CREDENTIALS_PURGED' })

    expect(() => vault.open(OTHER, OWNER, sealed)).toThrow(lost)
    expect(() => vault.open(TASK, ownerId('else'), sealed)).toThrow(lost)
    expect(() => vault.open(TASK, OWNER, { ...sealed, ciphertext: flipped })).toThrow(lost)
    expect(() => vault.open(TASK, OWNER, { ...sealed, ciphertext: sealed.ciphertext.subarray(0, 27) })).toThrow(lost)
  })

  it('opens with an older key after a rotation, and no longer once that key is gone', () => {
    const old = keys('k1')
    const sealed = createVault(old).seal(TASK, OWNER, credentials)
    const rotated: Keys = { current: 'k2', byId: new Map([...old.byId, ['k2', randomBytes(32)]]) }

    expect(createVault(rotated).open(TASK, OWNER, sealed).unwrap()).toEqual(credentials)
    expect(createVault(rotated).seal(TASK, OWNER, credentials).keyId).toBe('k2')
    expect(() => createVault(keys('k2')).open(TASK, OWNER, sealed)).toThrow(
      expect.objectContaining({ code: 'CREDENTIALS_PURGED' })
    )
  })
})

describe('key file', () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'keys-'))
  })
  afterAll(() => rm(folder, { recursive: true }))

  it('is made once, for its owner only, and stays the same', async () => {
    const path = join(folder, 'made.json')
    const first = await readOrMakeKeys(path)
    const second = await readOrMakeKeys(path)
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    expect(second.byId.get('k1')).toEqual(first.byId.get('k1'))
  })

  it.each([
    ['no JSON', 'SECRETTEXT'],
    ['no keys', '{"current":"k1"}'],
    ['a current key that is not there', '{"current":"k2","keys":{"k1":"SECRETTEXT"}}'],
    ['a key of the wrong length', '{"current":"k1","keys":{"k1":"U0VDUkVU"}}']
  ])('with %s is refused without quoting it', async (_case, content) => {
    const path = join(folder, 'bad.json')
    await writeFile(path, content, { mode: 0o600 })
    await expect(readKeys(path)).rejects.toThrow(/^KEK_FILE must hold/)
    await expect(readKeys(path)).rejects.not.toThrow(/SECRET/)
  })

  it('that others can read is refused with the cure', async () => {
    const path = join(folder, 'open.json')
    await readOrMakeKeys(path)
    await chmod(path, 0o644)
    await expect(readKeys(path)).rejects.toThrow(/chmod 600/)
    expect(await readFile(path, 'utf8')).toContain('k1')
  })
})
