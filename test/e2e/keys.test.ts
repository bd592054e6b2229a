import { randomBytes } from 'node:crypto'
import { chmod, mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freshDatabase } from '../support/postgres.ts'
import { family } from '../support/process-family.ts'
import { putServer } from '../support/put-server.ts'
import { removeDataDir } from '../support/remove-data-dir.ts'
import { Client, type Json, startProcess } from '../support/service.ts'

const key = () => randomBytes(32).toString('base64')
const credentials = { kind: 'basic', username: 'alice', password: 'secret' }

describe('key-encryption keys', () => {
  let folder: string
  let env: { DATA_DIR: string; DATABASE_URL: string; TASK_ATTEMPTS: string }
  const closing: (() => Promise<unknown>)[] = []

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'keys-'))
    closing.push(() => removeDataDir(folder))
    const database = await freshDatabase()
    closing.push(database.drop)
    env = { DATA_DIR: join(folder, 'data'), DATABASE_URL: database.url, TASK_ATTEMPTS: '1' }
    expect(await startProcess('migrate', env).exited).toBe(0)
  })
  afterAll(async () => {
    for (const close of closing.reverse()) await close()
  })

  /** An export that was asked for under some keys and is run under others. */
  const exportUnder = async (
    api: Record<string, string>,
    worker: () => Promise<Record<string, string>>
  ): Promise<Json> => {
    await using place = await putServer()
    await using http = startProcess('http', { ...env, ...api })
    const client = new Client(String((await http.line('listening')).url))
    const image = await client.upload(new Uint8Array(65536), 'raw')
    const exportTo = `http://127.0.0.1:${place.port}/place`
    const id = await client.export(image, exportTo, { export_to_credentials: credentials })
    await using running = startProcess('worker', { ...env, ...(await worker()) })
    await running.line('working')
    return await client.ended(id)
  }

  it('of the environment: the first seals, all of them open', async () => {
    const [old, fresh] = [key(), key()]
    const task = await exportUnder({ KEK: old }, async () => ({ KEK: `${fresh},${old}` }))
    expect(task).toMatchObject({
      task_status: 'success',
      credentials: { kind: 'basic', fingerprint: expect.stringMatching(/^[0-9a-f]{12}$/), state: 'purged' }
    })
  })

  it('that are gone are said to be', async () => {
    const task = await exportUnder({ KEK: key() }, async () => ({ KEK: key() }))
    expect(task).toMatchObject({
      task_status: 'failure',
      failure: { code: 'CREDENTIALS_PURGED' },
      message: expect.stringContaining('the key they were sealed with is not available'),
      credentials: { state: 'purged' }
    })
  })

  it('of a file are rotated while tasks wait', async () => {
    const KEK_FILE = join(folder, 'kek.json')
    await writeFile(KEK_FILE, JSON.stringify({ current: 'k1', keys: { k1: key() } }), { mode: 0o600 })
    const rotated = async () => {
      await using rotation = startProcess('rotate-keys', { ...env, KEK_FILE })
      const line = await rotation.line('key added: restart the workers, then the API')
      expect(line).toMatchObject({ current: 'k2', keys: ['k2', 'k1'] })
      expect(await rotation.exited).toBe(0)
      return { KEK_FILE }
    }
    expect(await exportUnder({ KEK_FILE }, rotated)).toMatchObject({ task_status: 'success' })
  })

  it('in a file that others can read are refused', async () => {
    const KEK_FILE = join(folder, 'open.json')
    await writeFile(KEK_FILE, JSON.stringify({ current: 'k1', keys: { k1: key() } }))
    await chmod(KEK_FILE, 0o640)
    await using service = startProcess('http', { ...env, KEK_FILE })
    expect(await service.exited).toBe(1)
    expect(service.stderr()).toBe(`KEK_FILE may be readable by its owner only: chmod 600 ${KEK_FILE}\n`)
  })

  it('of the environment are in no process that the service starts', async () => {
    const KEK = key()
    await using service = startProcess('all', { DATA_DIR: join(folder, 'own'), KEK, CONTROL: 'seen' })
    await service.line('listening')
    const [own, ...children] = family(service.child.pid ?? 0)
    expect(own?.environment).toContain('CONTROL=seen')
    expect(children.length).toBeGreaterThan(1)
    for (const { environment, commandLine } of children) expect(environment + commandLine).not.toContain(KEK)
    await service.stop()
    expect(JSON.stringify(service.log) + service.stderr()).not.toContain(KEK)
  })
})
