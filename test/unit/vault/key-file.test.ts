import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readKeys, readOrMakeKeys, rotateKeys } from '../../../src/vault/key-file.ts'

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

  it('gets a new current key and keeps the older ones', async () => {
    const path = join(folder, 'rotated.json')
    const before = await readOrMakeKeys(path)

    await rotateKeys(path)
    await rotateKeys(path)

    const after = await readKeys(path)
    expect(after.current).toBe('k3')
    expect([...after.byId.keys()].sort()).toEqual(['k1', 'k2', 'k3'])
    expect(after.byId.get('k1')).toEqual(before.byId.get('k1'))
    expect(new Set([...after.byId.values()].map(String)).size).toBe(3)
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    expect(await readdir(folder)).not.toContain('rotated.json.new')
  })

  it('stays as it is when it cannot be rotated', async () => {
    const path = join(folder, 'busy.json')
    await readOrMakeKeys(path)
    const before = await readFile(path)
    await writeFile(`${path}.new`, 'of somebody else')

    await expect(rotateKeys(path)).rejects.toThrow(/^KEK_FILE cannot be rotated/)

    expect(await readFile(path)).toEqual(before)
    expect(await readFile(`${path}.new`, 'utf8')).toBe('of somebody else')
  })
})
