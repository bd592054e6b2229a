import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freshDatabase } from '../support/postgres.ts'
import { removeDataDir } from '../support/remove-data-dir.ts'
import { startProcess } from '../support/service.ts'

const SECRET = 'a secret of the proxy'
const alice = {
  'x-identity-status': 'Confirmed',
  'x-user-id': 'alice',
  'x-project-id': 'demo',
  'x-roles': 'member'
}

describe('identity headers', () => {
  let folder: string
  let settings: Record<string, string>
  const closing: (() => Promise<unknown>)[] = []

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'e2e-headers-'))
    const database = await freshDatabase()
    closing.push(() => removeDataDir(folder), database.drop)
    settings = {
      DATA_DIR: join(folder, 'data'),
      DATABASE_URL: database.url,
      IDENTITY: 'trusted-headers',
      KEK: Buffer.alloc(32, 'k').toString('base64')
    }
    await using migration = startProcess('migrate', settings)
    await migration.exited
  })
  afterAll(async () => {
    for (const close of closing.reverse()) await close()
  })

  async function statusesWith(trust: Record<string, string>, requests: readonly Record<string, string>[]) {
    await using api = startProcess('http', { ...settings, ...trust })
    const url = String((await api.line('listening')).url)
    const answers = requests.map((headers) => fetch(`${url}/v2/tasks`, { headers }))
    return (await Promise.all(answers)).map(({ status }) => status)
  }

  it('count from trusted proxies', async () => {
    expect(await statusesWith({ TRUSTED_PROXIES: '127.0.0.0/8' }, [alice, {}])).toEqual([200, 401])
  })

  it('do not count from anybody else, whatever is forwarded', async () => {
    const forwarded = { ...alice, 'x-forwarded-for': '10.0.0.1', 'x-real-ip': '10.0.0.1' }

    expect(await statusesWith({ TRUSTED_PROXIES: '10.0.0.0/8' }, [alice, forwarded])).toEqual([401, 401])
  })

  it('count with the secret of the proxy, and then only with it', async () => {
    const trust = { TRUSTED_PROXIES: '127.0.0.0/8', TRUSTED_HEADERS_SECRET: SECRET }
    const requests = [{ ...alice, 'x-proxy-secret': SECRET }, alice, { ...alice, 'x-proxy-secret': 'a guess' }]

    expect(await statusesWith(trust, requests)).toEqual([200, 401, 401])
  })

  it('have to be trusted of somebody', async () => {
    await using api = startProcess('http', settings)

    expect(await api.exited).toBe(1)
    expect(api.stderr()).toContain('IDENTITY=trusted-headers needs TRUSTED_PROXIES or TRUSTED_HEADERS_SECRET')
  })
})
