import { randomBytes } from 'node:crypto'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { faultServer } from '../support/fault-server.ts'
import { freshDatabase } from '../support/postgres.ts'
import { putServer } from '../support/put-server.ts'
import { freshRedisDatabase } from '../support/redis.ts'
import { removeDataDir } from '../support/remove-data-dir.ts'
import { s3Server } from '../support/s3-server.ts'
import { Client, type Json, startProcess } from '../support/service.ts'

const KEY_ID = 'AKIAIOSFODNN7EXAMPLE'
/** Three parts, all of it data. */
const DISK = randomBytes(40 << 20)
const SMALL = DISK.subarray(0, 1 << 20)

let folder: string
let usual: Api
let running: AsyncDisposable[] = []
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'e2e-'))
  usual = await api()
}, 60_000)
afterEach(async () => {
  for (const part of running.reverse()) await part[Symbol.asyncDispose]()
  running = []
})
afterAll(async () => {
  await usual.http.stop()
  await usual.database.drop()
  await removeDataDir(folder)
})

function keep<T extends AsyncDisposable>(part: T): T {
  running.push(part)
  return part
}

/** The API of a split service on a database of its own, without a worker. */
async function api(more: Record<string, string> = {}) {
  const database = await freshDatabase()
  const env = {
    DATABASE_URL: database.url,
    DATA_DIR: join(folder, 'data'),
    LEASE_SECONDS: '2',
    DESTINATION_SILENCE_SECONDS: '20',
    ...more
  }
  await startProcess('migrate', env).line('schema is up to date')
  const http = startProcess('http', env)
  return { database, env, http, url: String((await http.line('listening')).url) }
}
type Api = Awaited<ReturnType<typeof api>>

/** The service with one image, and an S3 behind a proxy that can be told to fail. */
async function service({ disk = SMALL, on = usual }: { disk?: Uint8Array; on?: Api } = {}) {
  const client = new Client(on.url)
  const image = await client.upload(disk, 'raw')
  const store = keep(await s3Server({ buckets: ['backup'], keys: { [KEY_ID]: undefined } }))
  const way = keep(await faultServer(store.port))
  return {
    ...on,
    client,
    image,
    store,
    way,
    startWorker: () => keep(startProcess('worker', on.env)),
    export: () =>
      client.export(image, 's3://backup/images', {
        export_format: 'raw',
        export_to_credentials: credentialsAt(way.port)
      })
  }
}

const credentialsAt = (port: number) => ({
  kind: 's3_static',
  access_key_id: KEY_ID,
  secret_access_key: 'secret',
  endpoint: `http://127.0.0.1:${port}`,
  region: 'us-east-1',
  addressing_style: 'path'
})
/** One for a test that needs other settings, or stops it. */
async function own(more: Record<string, string>): Promise<Api> {
  const other = await api(more)
  keep(other.database)
  keep(other.http)
  return other
}

type Service = Awaited<ReturnType<typeof service>>

const isSecondPart = ({ url }: { url: string }) => url.includes('partNumber=2')
const isCommit = ({ method, url }: { method: string; url: string }) => method === 'POST' && url.includes('uploadId=')

/** A task whose first part is stored and whose second one the destination does not take. */
async function inTheMiddle(on: Service) {
  on.way.inject({ kind: 'stall' }, isSecondPart)
  const id = await on.export()
  await expect.poll(() => on.way.seen.some(isSecondPart), { timeout: 20_000 }).toBe(true)
  return id
}

const cancel = ({ client }: Service, id: string, body?: Json) => client.call('POST', `/v2/tasks/${id}/cancel`, body)

async function expectNothingLeft({ client, store, image }: Service) {
  expect([store.uploads.size, store.objects.size]).toEqual([0, 0])
  expect((await client.call('DELETE', `/v2/images/${image}`)).status).toBe(204)
}

describe('canceling', () => {
  it('a queued task ends it at once and frees its image', async () => {
    const on = await service()
    const id = await on.export()

    const answer = await cancel(on, id, { reason: 'not needed' })

    expect(answer.status).toBe(202)
    expect(answer.body).toMatchObject({
      task_status: 'failure',
      failure: { code: 'CANCELED_BY_USER' },
      message: 'The export was canceled by a user of its project: not needed.',
      credentials: { state: 'purged' }
    })
    await expectNothingLeft(on)
    expect((await cancel(on, id)).status).toBe(202)
    on.startWorker()
    await sleep(1000)
    expect((await on.client.call('GET', `/v2/tasks/${id}`)).body).toEqual(answer.body)
  })

  it('a task in its preflight stops it', async () => {
    const on = await service()
    on.way.inject({ kind: 'stall' })
    on.startWorker()
    const id = await on.export()
    await on.client.until(id, ({ phase }) => phase === 'preflight')

    expect((await cancel(on, id)).body).toMatchObject({ task_status: 'processing', phase: 'canceling' })

    expect(await on.client.ended(id)).toMatchObject({ failure: { code: 'CANCELED_BY_USER', phase: 'preflight' } })
    await expectNothingLeft(on)
  })

  it('a transfer stops it, removes its parts and says so', async () => {
    const on = await service({ disk: DISK })
    on.startWorker()
    const id = await inTheMiddle(on)

    const answer = await cancel(on, id)

    expect(answer.body).toMatchObject({ task_status: 'transferring', status: 'processing', phase: 'canceling' })
    expect(await on.client.ended(id)).toMatchObject({
      task_status: 'failure',
      attempt: 1,
      failure: { code: 'CANCELED_BY_USER', phase: 'transferring' },
      cleanup: { state: 'done', left: [] }
    })
    await expectNothingLeft(on)
    expect((await on.client.call('POST', `/v2/tasks/${id}/cancel`)).status).toBe(202)
  })

  it('a task that waits to be tried again removes what was left of it first', async () => {
    const on = await service({ disk: DISK })
    on.way.inject({ kind: 'answer', status: 503, headers: { 'retry-after': '600' } }, isSecondPart, 1)
    on.startWorker()
    const id = await on.export()
    await on.client.until(id, ({ phase }) => phase === 'waiting_retry')

    expect((await cancel(on, id)).status).toBe(202)

    expect(await on.client.ended(id)).toMatchObject({ failure: { code: 'CANCELED_BY_USER' } })
    await expectNothingLeft(on)
  })

  it.each([
    ['PostgreSQL', async () => usual],
    ['Redis', () => own({ REDIS_URL: freshRedisDatabase() })]
  ])('survives a worker that is killed after it was asked for, with the queue on %s', async (_backend, apiOn) => {
    const on = await service({ disk: DISK, on: await apiOn() })
    const first = on.startWorker()
    const id = await inTheMiddle(on)
    first.child.kill('SIGSTOP') // it hears of nothing any more
    expect((await cancel(on, id)).status).toBe(202)
    await first.stop('SIGKILL')

    on.startWorker()

    expect(await on.client.ended(id)).toMatchObject({
      attempt: 2,
      failure: { code: 'CANCELED_BY_USER' },
      cleanup: { state: 'done' }
    })
    await expectNothingLeft(on)
  })

  it('is refused from the commit on, and then the export succeeds', async () => {
    const on = await service({ disk: DISK, on: await own({ DESTINATION_SILENCE_SECONDS: '3' }) })
    on.way.inject({ kind: 'stall' }, isCommit)
    on.startWorker()
    const id = await on.export()
    await on.client.until(id, ({ phase }) => phase === 'committing')

    const answer = await cancel(on, id)

    expect(answer.status).toBe(409)
    expect(answer.body.error).toMatchObject({ failure_code: 'ALREADY_COMMITTED' })
    expect(await on.client.ended(id)).toMatchObject({ task_status: 'success' })
    expect([...on.store.objects.values()].map(({ body }) => body.equals(DISK))).toEqual([true])
    expect((await cancel(on, id)).body.error).toMatchObject({ failure_code: 'TASK_FINISHED' })
  })
})

describe('progress', () => {
  it('never goes back, not over a second attempt, and says 100 % only at success', async () => {
    const on = await service({ disk: DISK })
    const first = on.startWorker()
    const id = await inTheMiddle(on)
    const percents: number[] = []
    const watch = (done: (task: Json) => boolean) =>
      on.client.until(id, (task) => {
        const { percent } = Object(task.progress) as { percent?: number }
        if (percent !== undefined) percents.push(percent)
        return done(task)
      })
    await watch(({ progress }) => Object(progress).percent > 30)
    await first.stop('SIGKILL')
    on.startWorker()

    const task = await watch(({ task_status }) => task_status === 'success')

    expect(task.attempt).toBe(2)
    expect(percents).toEqual([...percents].sort((a, b) => a - b))
    expect(percents.filter((percent) => percent === 100)).toHaveLength(1)
    expect(task.progress).toMatchObject({
      bytes_total: DISK.length,
      bytes_read: DISK.length,
      bytes_data: DISK.length,
      bytes_zero: 0,
      bytes_sent: DISK.length,
      bytes_acked: DISK.length,
      percent: 100
    })
  })

  it('is as slow as was asked for, until a change while it runs', async () => {
    const on = await service({ disk: DISK.subarray(0, 8 << 20) })
    const place = keep(await putServer())
    on.startWorker()
    const limits = { bandwidth_bps: 64 << 10 } // two minutes
    const id = await on.client.export(on.image, `http://127.0.0.1:${place.port}/p`, { export_format: 'raw', limits })
    const slow = await on.client.until(id, ({ progress }) => Object(progress).throttled)
    expect(slow).toMatchObject({ phase: 'transferring', progress: { stalled: false } })
    const { headers } = await on.client.call('GET', `/v2/tasks/${id}`)
    expect(headers.get('retry-after')).toBe('2')

    const patch = await on.client.call('PATCH', `/v2/tasks/${id}`, { limits: { bandwidth_bps: null }, tags: ['fast'] })

    expect(patch.status).toBe(200)
    const task = await on.client.ended(id)
    expect(task).toMatchObject({ task_status: 'success', tags: ['fast'] })
    expect(Number(Object(task.result).duration_seconds)).toBeLessThan(100)
  })
})

describe('waiting for news', () => {
  it('takes no connection, however many wait, and reaches all of them', async () => {
    const on = await service()
    const id = await on.export()
    const etag = String((await on.client.call('GET', `/v2/tasks/${id}`)).headers.get('etag'))
    const admin = new pg.Client({ connectionString: on.database.url })
    await admin.connect()
    const busy = async () =>
      (
        await admin.query<{ busy: number }>(
          `select count(*)::int as busy from pg_stat_activity
            where datname = current_database() and application_name = 'glance-export' and state <> 'idle'`
        )
      ).rows[0]?.busy ?? 0
    const gone = new AbortController()
    const wait = (signal?: AbortSignal) =>
      fetch(`${on.url}/v2/tasks/${id}`, {
        headers: { 'x-auth-token': 'alice:demo:member', 'if-none-match': etag, prefer: 'wait=60' },
        ...(signal && { signal })
      })

    const waiting = Array.from({ length: 200 }, () => wait())
    const leaving = Array.from({ length: 50 }, () => wait(gone.signal).catch(() => 'gone'))
    await sleep(3000) // all of them have arrived
    const seen: number[] = []
    for (let look = 0; look < 20; look++) {
      seen.push(await busy())
      await sleep(50)
    }
    await admin.end()
    gone.abort()
    expect(Math.max(...seen)).toBeLessThanOrEqual(1)
    expect((await Promise.all(leaving)).every((answer) => answer === 'gone')).toBe(true)

    await cancel(on, id)

    const answers = await Promise.all(waiting)
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]))
    const bodies = await Promise.all(answers.map(async (answer): Promise<Json> => Object(await answer.json())))
    expect(bodies.every(({ task_status }) => task_status === 'failure')).toBe(true)
  })

  it('ends when the service stops', async () => {
    const on = await service({ on: await own({}) })
    const id = await on.export()
    const etag = String((await on.client.call('GET', `/v2/tasks/${id}`)).headers.get('etag'))
    const waiting = on.client.call('GET', `/v2/tasks/${id}`, undefined, { 'if-none-match': etag, prefer: 'wait=60' })
    await sleep(500)

    expect(await on.http.stop('SIGTERM')).toBe(0)

    expect((await waiting).status).toBe(304)
  })

  it('answers a create when its preflight has failed', async () => {
    const on = await service()
    on.way.inject({ kind: 'answer', status: 403 }, () => true, 100)
    on.startWorker()

    const answer = await on.client.call(
      'POST',
      '/v2/tasks',
      {
        task_type: 'export',
        image_uuid: on.image,
        export_to: 's3://backup/images',
        export_format: 'raw',
        export_to_credentials: credentialsAt(on.way.port)
      },
      { prefer: 'wait=30' }
    )

    expect([answer.status, answer.headers.get('preference-applied')]).toEqual([201, 'wait=30'])
    expect(answer.body).toMatchObject({ task_status: 'failure', failure: { actor: 'user', phase: 'preflight' } })
  })
})

describe('trying again', () => {
  it('makes a new task with new credentials, and one at a time', async () => {
    const on = await service()
    on.way.inject({ kind: 'answer', status: 403 }, () => true, 100)
    const worker = on.startWorker()
    const id = await on.export()
    const failed = await on.client.ended(id)
    expect(failed).toMatchObject({
      task_status: 'failure',
      failure: { upstream: { status: 403, host: `127.0.0.1:${on.way.port}` }, hint: expect.any(String) }
    })
    await worker.stop()
    const retry = (body?: Json) => on.client.call('POST', `/v2/tasks/${id}/retry`, body)
    expect((await retry()).body.error).toMatchObject({ code: 409, failure_code: 'CREDENTIALS_PURGED' })
    const straight = credentialsAt(on.store.port)

    const answers = await Promise.all([1, 2].map(() => retry({ export_to_credentials: straight })))

    expect(answers.map(({ status }) => status).sort()).toEqual([201, 409])
    const again = answers.find(({ status }) => status === 201)?.body
    expect(again).toMatchObject({ retry_of: id, export_to: 's3://backup/images' })
    const { body: shown } = await on.client.call('GET', `/v2/tasks/${again?.id}`)
    expect(shown.queue).toEqual({ position: 1, ahead: 0 })
    on.startWorker()
    expect(await on.client.ended(String(again?.id))).toMatchObject({ task_status: 'success' })
    expect((await retry({ export_to_credentials: straight })).status).toBe(201)
  })
})
