import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { faultServer } from '../support/fault-server.ts'
import { freshDatabase } from '../support/postgres.ts'
import { putServer } from '../support/put-server.ts'
import { removeDataDir } from '../support/remove-data-dir.ts'
import { Client, type ServiceProcess, startProcess } from '../support/service.ts'

const run = promisify(execFile)

let folder: string
let running: AsyncDisposable[]
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'e2e-'))
  running = []
})
afterEach(async () => {
  for (const part of running.reverse()) await part[Symbol.asyncDispose]()
  running = []
})
afterAll(async () => {
  for (const name of ['embedded', 'full']) await removeDataDir(join(folder, name))
  await removeDataDir(folder)
})

function keep<T extends AsyncDisposable>(part: T): T {
  running.push(part)
  return part
}
const start = (name: Parameters<typeof startProcess>[0], env: Record<string, string>): ServiceProcess =>
  keep(startProcess(name, { DATA_DIR: join(folder, 'data'), ...env }))

/** A disk of 16 MiB, all of it data, so that it takes a while to send. */
const DISK = Buffer.alloc(16 << 20, 'glance-export ')

/** The split service: migrated database, API, no worker yet. */
async function split() {
  const database = keep(await freshDatabase())
  const env = { DATABASE_URL: database.url, LEASE_SECONDS: '2' }
  await start('migrate', env).line('schema is up to date')
  const http = start('http', env)
  const client = new Client(String((await http.line('listening')).url))
  const image = await client.upload(DISK, 'raw')
  const place = keep(await putServer())
  const slow = keep(await faultServer(place.port))
  return { env, http, client, image, place, slow, exportTo: `http://127.0.0.1:${slow.port}/place` }
}

/** The request that sends the object: it comes a moment after the task says that it is transferring. */
const THE_OBJECT = { method: 'PUT', url: expect.not.stringContaining('.probe-') }

describe('the split service', () => {
  it('goes on with another worker when one is killed in the middle of a transfer', async () => {
    const { env, client, image, place, slow, exportTo } = await split()
    slow.inject({ kind: 'stall' }, ({ method, url }) => method === 'PUT' && !url?.includes('.probe-'))
    const first = start('worker', env)
    const id = await client.export(image, exportTo, { export_format: 'raw' })
    await client.until(id, (task) => task.task_status === 'transferring')
    await expect.poll(() => slow.seen).toContainEqual(THE_OBJECT)

    await first.stop('SIGKILL')
    start('worker', env)

    const task = await client.ended(id)
    expect(task).toMatchObject({ task_status: 'success', attempt: 2 })
    expect([...place.objects.values()]).toEqual([DISK])
    expect(await client.call('DELETE', `/v2/images/${image}`)).toMatchObject({ status: 204 })
  })

  it('hands a running export back on SIGTERM, without counting the attempt, and ends with 0', async () => {
    const { env, client, image, slow, exportTo } = await split()
    slow.inject({ kind: 'stall' }, ({ method, url }) => method === 'PUT' && !url?.includes('.probe-'))
    const worker = start('worker', { ...env, SHUTDOWN_SECONDS: '5' })
    const id = await client.export(image, exportTo, { export_format: 'raw' })
    await client.until(id, (task) => task.task_status === 'transferring')
    await expect.poll(() => slow.seen).toContainEqual(THE_OBJECT)

    expect(await worker.stop('SIGTERM')).toBe(0)

    expect((await client.call('GET', `/v2/tasks/${id}`)).body).toMatchObject({ task_status: 'queued', attempt: 0 })
    start('worker', env)
    expect(await client.ended(id)).toMatchObject({ task_status: 'success', attempt: 1 })
  })

  it('says what to do when the schema is not there yet', async () => {
    const database = keep(await freshDatabase())
    const http = start('http', { DATABASE_URL: database.url })
    expect(await once(http.child, 'exit')).toEqual([1, null])
    expect(http.stderr()).toContain('npm run migrate')
  })

  it.each(['http', 'worker', 'migrate'] as const)('refuses to start %s without a database of its own', async (name) => {
    const process = start(name, {})
    expect(await once(process.child, 'exit')).toEqual([1, null])
    expect(process.stderr()).toContain('DATABASE_URL is needed')
  })
})

describe('the whole service', () => {
  it('names every mistake of its configuration at once', async () => {
    const service = start('all', { PORT: 'x', IDENTITY: 'nobody', ALLOWED_NETWORKS: 'here', HOST: '0.0.0.0' })
    expect(await once(service.child, 'exit')).toEqual([1, null])
    expect(service.stderr()).toMatch(/PORT must be integer/)
    expect(service.stderr()).toMatch(/IDENTITY must be one of dev, trusted-headers/)
  })

  it('runs on nothing but its data folder, keeps everything over a restart, and leaves no process behind', async () => {
    const env = { DATA_DIR: join(folder, 'embedded') }
    const first = start('all', env)
    const client = new Client(String((await first.line('listening')).url))
    const image = await client.upload(DISK, 'raw')
    const place = keep(await putServer())
    const id = await client.export(image, `http://127.0.0.1:${place.port}/place`, { export_format: 'raw' })
    await client.ended(id)
    const postgres = Number((await first.line('embedded PostgreSQL started')).pid)
    expect(await first.stop('SIGINT')).toBe(0)
    expect(await isAlive(postgres)).toBe(false)

    const second = start('all', env)
    const again = new Client(String((await second.line('listening')).url))
    expect((await again.call('GET', `/v2/tasks/${id}`)).body).toMatchObject({ task_status: 'success' })
    expect((await again.call('GET', `/v2/images/${image}`)).body).toMatchObject({ status: 'active' })
    const postgresAgain = Number((await second.line('embedded PostgreSQL started')).pid)
    await second.stop('SIGKILL')
    await expect.poll(() => isAlive(postgresAgain), { timeout: 15_000 }).toBe(false)
  })

  it('refuses uploads that would fill the disk of its own database, and stays up', async ({ skip }) => {
    const dataDir = join(folder, 'full')
    await mkdir(dataDir)
    try {
      await run('mount', ['-t', 'tmpfs', '-o', 'size=320m,mode=0711', 'tmpfs', dataDir])
    } catch (error) {
      console.warn(`skipped: a full disk (1 test): ${error}`)
      return skip('no tmpfs can be mounted here')
    }
    keep({ [Symbol.asyncDispose]: async () => void (await run('umount', ['-l', dataDir])) })
    const service = start('all', { DATA_DIR: dataDir })
    const client = new Client(String((await service.line('listening')).url))

    const large = randomBytes(32 << 20)
    const whole = Buffer.concat(Array.from({ length: 8 }, () => large))
    await expect(client.upload(whole, 'raw')).rejects.toThrow(/503.*STORE_FULL/)

    expect(await client.call('GET', '/readyz')).toMatchObject({ status: 200 })
    expect(await client.upload(large.subarray(0, 1 << 20), 'raw')).toMatch(/-/)
    expect(await service.stop()).toBe(0)
  })

  it('says in a sentence what an operator can mend', async () => {
    const file = join(folder, 'a-file')
    await writeFile(file, '')
    const hosts = join(folder, 'some-hosts')
    await writeFile(hosts, '# mine\nhost ssh-ed25519 AAAA\n')
    const cases: [Record<string, string>, RegExp][] = [
      [{ DATA_DIR: join(file, 'below') }, /a-file.*cannot be used/],
      [{ DATABASE_URL: 'postgres://127.0.0.1:9/x' }, /PostgreSQL of DATABASE_URL cannot be reached/],
      [{ DATABASE_URL: keep(await freshDatabase()).url, DESTINATION_CA_FILE: file }, /no certificate/],
      [
        { DATABASE_URL: keep(await freshDatabase()).url, DESTINATION_CA_FILE: `${file}-not` },
        /a-file-not cannot be used/
      ],
      [
        { DATABASE_URL: keep(await freshDatabase()).url, SFTP_KNOWN_HOSTS: hosts },
        /SFTP_KNOWN_HOSTS: .*some-hosts: line 2/
      ]
    ]
    for (const [env, sentence] of cases) {
      const service = start('all', env)
      expect(await once(service.child, 'exit')).toEqual([1, null])
      expect(service.stderr()).toMatch(sentence)
    }
  })

  it('shows nobody another project', async () => {
    const database = keep(await freshDatabase())
    const service = start('all', { DATABASE_URL: database.url })
    const url = String((await service.line('listening')).url)
    const alice = new Client(url)
    const mallory = new Client(url, 'mallory:evil:member')
    const image = await alice.upload(DISK.subarray(0, 1024), 'raw')
    const place = keep(await putServer())
    const id = await alice.export(image, `http://127.0.0.1:${place.port}/place`)

    const foreign = await mallory.call('GET', `/v2/tasks/${id}`)
    const missing = await mallory.call('GET', '/v2/tasks/43215678-4321-4321-8321-432156789abc')
    expect([foreign.status, missing.status]).toEqual([404, 404])
    expect(JSON.stringify(foreign.body).replaceAll(id, 'ID')).toBe(
      JSON.stringify(missing.body).replaceAll('43215678-4321-4321-8321-432156789abc', 'ID')
    )
    expect((await mallory.call('GET', '/v2/tasks')).body.tasks).toEqual([])
    expect((await mallory.call('GET', `/v2/images/${image}`)).status).toBe(404)
    expect((await new Client(url, 'root:ops:admin').call('GET', `/v2/tasks/${id}`)).status).toBe(200)
    await alice.ended(id)
  })
})

/** A zombie is dead: its parent has only not asked yet. */
async function stateOf(pid: number): Promise<string> {
  return (await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')).split(') ')[1]?.[0] ?? 'gone'
}
const isAlive = async (pid: number): Promise<boolean> => !['gone', 'Z', 'X'].includes(await stateOf(pid))
