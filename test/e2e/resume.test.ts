import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { faultServer } from '../support/fault-server.ts'
import { freshDatabase } from '../support/postgres.ts'
import { watchFamily } from '../support/process-family.ts'
import { removeDataDir } from '../support/remove-data-dir.ts'
import { s3Server } from '../support/s3-server.ts'
import { Client, type ServiceProcess, startProcess } from '../support/service.ts'

const MIB = 1 << 20
const PART_BYTES = 16 * MIB
/** Of S3. */
const PARALLEL = 4
const KEY_ID = 'AKIDEXAMPLE'
const DISK = Buffer.alloc(8 * PART_BYTES, 'glance-export ')

let folder: string
let running: AsyncDisposable[] = []
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'e2e-resume-'))
})
afterEach(async () => {
  for (const part of running.reverse()) await part[Symbol.asyncDispose]()
  running = []
})
afterAll(() => removeDataDir(folder))

function keep<T extends AsyncDisposable>(part: T): T {
  running.push(part)
  return part
}

/** A store, and how to export to it: held to 32 MiB a second, so that there is a middle. */
async function places() {
  const store = keep(await s3Server({ buckets: ['backup'], keys: { [KEY_ID]: undefined } }))
  const proxy = keep(await faultServer(store.port))
  const request = {
    export_format: 'raw',
    limits: { bandwidth_bps: 32 * MIB },
    export_to_credentials: {
      kind: 's3_static',
      access_key_id: KEY_ID,
      secret_access_key: 'CANARY-secret-key',
      endpoint: `http://127.0.0.1:${proxy.port}`,
      addressing_style: 'path'
    }
  }
  return { store, proxy, request }
}

/** API, store and an image; no worker yet. */
async function prepared(disk: Buffer) {
  const database = keep(await freshDatabase())
  const env = { DATABASE_URL: database.url, DATA_DIR: join(folder, 'data'), LEASE_SECONDS: '2' }
  await keep(startProcess('migrate', env)).line('schema is up to date')
  const client = new Client(String((await keep(startProcess('http', env)).line('listening')).url))
  const { store, proxy, request } = await places()
  const image = await client.upload(disk, 'raw')
  const startExport = () => client.export(image, 's3://backup/vm', request)
  return { client, store, proxy, startExport, startWorker: () => keep(startProcess('worker', env)) }
}

/** How often each part was begun, by object and number. */
function begunParts({ seen }: { readonly seen: readonly { readonly method: string; readonly url: string }[] }) {
  const begun = new Map<string, number>()
  for (const { method, url } of seen) {
    const { pathname, searchParams } = new URL(url, 'http://s3')
    const number = searchParams.get('partNumber')
    const key = `${pathname} ${searchParams.get('uploadId')} ${number}`
    if (method === 'PUT' && number) begun.set(key, (begun.get(key) ?? 0) + 1)
  }
  return begun
}
const repeated = (begun: ReadonlyMap<string, number>) => [...begun.values()].filter((times) => times > 1)
const partsOf = (store: Awaited<ReturnType<typeof s3Server>>) =>
  [...store.uploads.values()].reduce((sum, { parts }) => sum + parts.size, 0)

const middle = (store: Awaited<ReturnType<typeof s3Server>>) =>
  expect.poll(() => partsOf(store), { timeout: 30_000, interval: 20 }).toBeGreaterThanOrEqual(2)

describe('an upload in parts', () => {
  it('is gone on with by another worker when one is killed, and no part is sent again but those under way', async () => {
    const { client, store, proxy, startExport, startWorker } = await prepared(DISK)
    const first = startWorker()
    const id = await startExport()
    await middle(store)
    const [uploadId] = store.uploads.keys()

    await first.stop('SIGKILL')
    const second = startWorker()

    const task = await client.ended(id)
    expect(task).toMatchObject({ task_status: 'success', attempt: 2 })
    expect([...store.objects.values()].map(({ body }) => body.equals(DISK))).toEqual([true])
    const begun = begunParts(proxy)
    expect([...begun.keys()].every((key) => key.includes(String(uploadId)))).toBe(true)
    expect(begun.size).toBe(DISK.length / PART_BYTES)
    expect(repeated(begun).length).toBeLessThanOrEqual(PARALLEL)
    const [again] = second.log.filter(({ msg }) => msg === 'bytes were sent again')
    expect(Number(again?.bytes ?? 0)).toBeLessThanOrEqual(PARALLEL * PART_BYTES)
    expect(Number(again?.bytes ?? 0)).toBeGreaterThanOrEqual(repeated(begun).length * PART_BYTES)
    expect(store.uploads.size).toBe(0)
  })

  it('is handed over by a worker that is asked to stop, and nothing is sent twice', async () => {
    const { client, store, proxy, startExport, startWorker } = await prepared(DISK)
    const first = startWorker()
    const id = await startExport()
    await middle(store)

    expect(await first.stop('SIGTERM')).toBe(0)
    const handedOver = await client.call('GET', `/v2/tasks/${id}`)
    expect(handedOver.body).toMatchObject({ task_status: 'queued', attempt: 0 })
    const parts = partsOf(store)
    expect(parts).toBeGreaterThan(2)
    expect(parts).toBeLessThan(DISK.length / PART_BYTES)
    startWorker()

    expect(await client.ended(id)).toMatchObject({ task_status: 'success', attempt: 1 })
    expect([...store.objects.values()].map(({ body }) => body.equals(DISK))).toEqual([true])
    expect(repeated(begunParts(proxy))).toEqual([])
    expect([...store.taken.values()]).toEqual([DISK.length])
  })

  it('survives that every worker is replaced while six exports run, with nothing lost or sent twice', async () => {
    const disk = DISK.subarray(0, 5 * PART_BYTES)
    const { client, store, proxy, startExport, startWorker } = await prepared(disk)
    const workers = [startWorker(), startWorker()]
    const ids = await Promise.all(Array.from({ length: 6 }, startExport))
    await middle(store)

    for (const worker of workers) {
      const replaced = worker.stop('SIGTERM')
      await startWorker().line('working')
      expect(await replaced).toBe(0)
    }

    for (const id of ids) expect(await client.ended(id)).toMatchObject({ task_status: 'success', attempt: 1 })
    expect([...store.objects.values()].map(({ body }) => body.equals(disk))).toEqual(ids.map(() => true))
    expect(repeated(begunParts(proxy))).toEqual([])
    expect(store.uploads.size).toBe(0)
  })
})

describe('the whole service in one process', () => {
  const whole = async () => {
    const dataDir = join(folder, `whole-${running.length}-${Date.now()}`)
    const begin = () => keep(startProcess('all', { DATA_DIR: dataDir, LEASE_SECONDS: '2' }))
    const service = begin()
    const clientOf = async ({ line }: ServiceProcess) => new Client(String((await line('listening')).url))
    const client = await clientOf(service)
    const { store, proxy, request } = await places()
    const image = await client.upload(DISK, 'raw')
    const id = await client.export(image, 's3://backup/vm', request)
    await middle(store)
    return { service, id, store, proxy, again: () => clientOf(begin()) }
  }

  it('hands its exports over to the next start of it', async () => {
    const { service, id, store, proxy, again } = await whole()

    expect(await service.stop('SIGTERM')).toBe(0)
    const client = await again()

    expect(await client.ended(id)).toMatchObject({ task_status: 'success', attempt: 1 })
    expect([...store.objects.values()].map(({ body }) => body.equals(DISK))).toEqual([true])
    expect(repeated(begunParts(proxy))).toEqual([])
  })

  it('ends at once with a second signal, and leaves no process behind', async () => {
    const { service, id, again } = await whole()
    const { pid } = await service.line('embedded PostgreSQL started')
    const family = watchFamily(service.child.pid ?? 0)

    service.child.kill('SIGTERM')
    await service.line('stopping')
    expect(await service.stop('SIGTERM')).toBe(1)

    const pids = (await family.stop()).map((one) => one.pid)
    expect(pids).toContain(pid)
    await expect.poll(() => pids.filter(isAlive), { timeout: 15_000 }).toEqual([])
    const ended = await (await again()).ended(id)
    expect(ended).toMatchObject({ task_status: 'success' })
    // The first does not count where it was handed back in between, or its lease ran out before the database was there again.
    expect([1, 2]).toContain(ended.attempt)
  })

  it('waits for no client that never ends', async () => {
    const service = keep(startProcess('all', { DATA_DIR: join(folder, 'endless'), SHUTDOWN_SECONDS: '10' }))
    const { url } = await service.line('listening')
    const client = new Client(String(url))
    const { body } = await client.call('POST', '/v2/images', { disk_format: 'raw', container_format: 'bare' })
    const upload = request(`${url}/v2/images/${body.id}/file`, {
      method: 'PUT',
      headers: { 'x-auth-token': 'alice:demo:member', 'content-type': 'application/octet-stream' }
    })
    const broken = once(upload, 'error')
    upload.write('a beginning')
    await expect.poll(async () => (await client.call('GET', `/v2/images/${body.id}`)).body.status).toBe('saving')

    expect(await service.stop('SIGTERM')).toBe(0)
    await broken
  })
})

/** A zombie is dead: its parent has only not asked yet. */
function isAlive(pid: number): boolean {
  const stat = existsSync(`/proc/${pid}/stat`) ? readFileSync(`/proc/${pid}/stat`, 'utf8') : ''
  return !['', 'Z', 'X'].includes(stat.split(') ')[1]?.[0] ?? '')
}
