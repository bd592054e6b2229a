import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Ajv2020 } from 'ajv/dist/2020.js'
import formats from 'ajv-formats'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { assertSoundAnswer, operationsOf, requestsOf } from '../support/openapi-fuzz.ts'
import { freshDatabase } from '../support/postgres.ts'
import { putServer } from '../support/put-server.ts'
import { removeDataDir } from '../support/remove-data-dir.ts'
import { Client, type Json, startProcess } from '../support/service.ts'

const RUNS = Number(process.env.FUZZ_RUNS ?? 150)
const SEED = Number(process.env.FUZZ_SEED ?? 20_261_122)
const documentOf = (name: string) => JSON.parse(readFileSync(new URL(`../../openapi/${name}`, import.meta.url), 'utf8'))

describe('requests to the real service, two API processes and a worker', () => {
  let folder: string
  const closing: (() => Promise<unknown>)[] = []
  let urls: string[]
  let startWorker: () => Promise<unknown>
  let place: string
  /** Takes connections and never answers. */
  let silence: string
  const client = (project = 'demo', api = 0) => new Client(urls[api] ?? '', `alice:${project}:member`)

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'e2e-requests-'))
    const database = await freshDatabase()
    closing.push(() => removeDataDir(folder), database.drop)
    const settings = {
      DATA_DIR: join(folder, 'data'),
      DATABASE_URL: database.url,
      TASK_ATTEMPTS: '1',
      QUOTA_ACTIVE_TASKS: '30',
      QUOTA_BYTES_PER_DAY: '1000000',
      DRY_RUNS: '2'
    }
    await using migration = startProcess('migrate', settings)
    await migration.exited
    const start = (name: 'http' | 'worker') => {
      const running = startProcess(name, settings)
      closing.push(() => running.stop())
      return running
    }
    urls = await Promise.all([1, 2].map(async () => String((await start('http').line('listening')).url)))
    startWorker = () => start('worker').line('working')

    const destination = await putServer()
    const silent = createServer(() => {}).listen(0, '127.0.0.1')
    await once(silent, 'listening')
    closing.push(
      () => destination[Symbol.asyncDispose](),
      async () => {
        silent.closeAllConnections()
        silent.close()
      }
    )
    place = `http://127.0.0.1:${destination.port}/place`
    silence = `http://127.0.0.1:${(silent.address() as AddressInfo).port}/place`
  })
  afterAll(async () => {
    for (const close of closing.reverse()) await close()
  })

  const bodyFor = (image: string, more: Json = {}): Json => ({
    task_type: 'export',
    image_uuid: image,
    export_to: place,
    export_format: 'raw',
    ...more
  })

  it('twenty equal ones at once, to both processes, are one task', async () => {
    const image = await client('once').upload(Buffer.alloc(512, 1), 'raw')
    const key = { 'idempotency-key': randomUUID() }
    const send = (api: number) => client('once', api).call('POST', '/v2/tasks', bodyFor(image), key)

    const answers = await Promise.all(Array.from({ length: 20 }, (_, index) => send(index % 2)))
    const again = await send(1)
    const { body } = await client('once').call('GET', '/v2/tasks')

    expect(body.tasks).toHaveLength(1)
    expect(answers.filter(({ status }) => ![201, 409].includes(status))).toEqual([])
    const busy = answers.filter(({ status }) => status === 409)
    for (const { headers } of busy) expect(headers.get('retry-after')).toBe('1')
    const made = answers.filter(({ status }) => status === 201)
    expect(new Set(made.map(({ body }) => body.id))).toEqual(new Set([again.body.id]))
    expect(made.filter(({ headers }) => headers.get('idempotent-replayed') === null)).toHaveLength(1)
    expect(again.headers.get('idempotent-replayed')).toBe('true')
    expect((await client('once').call('POST', '/v2/tasks', bodyFor(image, { tags: ['a'] }), key)).status).toBe(422)
  })

  it('over quota are 413 in the words of the service, and a dry run says so before', async () => {
    const small = await client('full').upload(Buffer.alloc(512, 1), 'raw')
    const large = await client('full').upload(Buffer.alloc(600_000, 1), 'raw')
    const create = (image: string) => client('full').call('POST', '/v2/tasks', bodyFor(image))
    const quota = async (image: string) => {
      const { body } = await client('full').call('POST', '/v2/tasks/preflight', bodyFor(image))
      return (body.checks as { id: string; ok: boolean; code?: string }[]).find(({ id }) => id === 'quota')
    }

    expect([await quota(large), (await create(large)).status]).toEqual([{ id: 'quota', ok: true }, 201])
    expect(await quota(large)).toMatchObject({ ok: false, code: 'QUOTA_EXCEEDED' })
    expect((await create(large)).body.error).toMatchObject({
      code: 413,
      failure_code: 'QUOTA_EXCEEDED',
      message: expect.stringContaining('have 600000 of 1000000 bytes')
    })
    const burst = await Promise.all(Array.from({ length: 50 }, () => create(small)))
    expect(burst.filter(({ status }) => status === 201)).toHaveLength(29)
    expect(burst.filter(({ status }) => status === 413)).toHaveLength(21)
    expect((await client('full').call('GET', '/v2/capabilities')).body.quotas).toEqual({
      active_tasks: { limit: 30, used: 30 },
      bytes_per_day: { limit: 1_000_000, used: 600_000 + 29 * 512 }
    })
    expect((await client('others').call('GET', '/v2/capabilities')).body.quotas).toMatchObject({
      active_tasks: { used: 0 }
    })
  })

  it('that only ask are refused when too many ask at once, and heard again afterwards', async () => {
    const image = await client('dry').upload(Buffer.alloc(512, 1), 'raw')
    const s3 = {
      kind: 's3_static',
      access_key_id: 'AKIDEXAMPLE',
      secret_access_key: 's',
      endpoint: silence.replace('/place', ''),
      addressing_style: 'path'
    }
    const body = bodyFor(image, { export_to: 's3://bucket/x', export_to_credentials: s3 })
    const ask = () => client('dry').call('POST', '/v2/tasks/preflight', body)

    const answers = await Promise.all([ask(), ask(), ask()])

    expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 503])
    const busy = answers.find(({ status }) => status === 503)
    expect(busy?.headers.get('retry-after')).toBe('5')
    expect(busy?.body.error).toMatchObject({ failure_code: 'PREFLIGHTS_BUSY' })
    expect((await client('dry').call('POST', '/v2/tasks/preflight', bodyFor(image))).status).toBe(200)
  })

  it(`${RUNS} of a fuzzer are answered as they should be`, async () => {
    const image = await client('fuzz').upload(Buffer.alloc(512, 1), 'raw')
    const task = await client('fuzz').export(image, place)
    const document = documentOf('openapi.json')
    const known = {
      image_uuid: [image],
      image_id: [image],
      imageId: [image, randomUUID()],
      taskId: [task, randomUUID()]
    }
    const requests = fc
      .constantFrom(...operationsOf(document))
      .chain((operation) => requestsOf(operation, document, { ...known, export_to: [place, 'tempurl:'] }))
    const seen: number[] = []

    await fc.assert(
      fc.asyncProperty(requests, async (request) => {
        const { operation, url, headers, body } = request
        const usable = Object.entries(headers).filter(([, value]) => /^[\x20-\x7e]*$/.test(value))
        const answer = await fetch((urls[0] ?? '') + url, {
          method: operation.method,
          headers: { ...Object.fromEntries(usable), 'x-auth-token': 'alice:fuzz:member' },
          redirect: 'manual',
          signal: AbortSignal.timeout(30_000),
          ...(body !== undefined && { body })
        })
        seen.push(answer.status)
        const type = answer.headers.get('content-type') ?? ''
        // Too many dry runs at once may be what an honest answer says.
        if (answer.status !== 503)
          assertSoundAnswer(request, { status: answer.status, text: await answer.text(), type })
      }),
      { numRuns: RUNS, seed: SEED, interruptAfterTimeLimit: 600_000 }
    )

    expect(seen.filter((status) => status < 300).length).toBeGreaterThan(RUNS / 20)
    expect(seen.filter((status) => status >= 400).length).toBeGreaterThan(RUNS / 3)
  })

  it('are answered as the response document has it, in every status', async () => {
    const ajv = new Ajv2020({ allErrors: true, strict: false })
    formats.default(ajv)
    const described = documentOf('export-response.json')
    ajv.addSchema(described)
    // Nothing may be there that the document does not tell of.
    const check = ajv.compile({ $ref: described.$id, unevaluatedProperties: false })
    const image = await client('seen').upload(Buffer.alloc(200_000, 'guest'), 'raw')
    const labels = { description: 'd', tags: ['a'], metadata: { k: 'v' }, priority: 'low', expires_after_seconds: 3600 }
    const options = { verify: 'ranges', checksums: ['md5', 'content'], sidecars: ['sha256', 'manifest'] }
    const seen = new Map<string, unknown>()
    const look = (task: Json) => {
      expect(check(task), JSON.stringify(check.errors)).toBe(true)
      seen.set(String(task.task_status), task)
      return task.task_status === 'success' || task.task_status === 'failure'
    }

    const slow = { ...labels, ...options, limits: { bandwidth_bps: 65_536, max_attempts: 1 } }
    const good = await client('seen').export(image, place, { export_format: 'raw', ...slow })
    const compressed = { export_format: 'qcow2', format_options: { compression: 'zlib' } }
    const packed = await client('seen').export(image, place, compressed)
    const waiting = await client('seen').export(image, silence, { limits: { max_attempts: 1 } })
    const refused = await client('seen')
      .export(image, `${place}/`, { verify: 'full', object: { storage_class: 'X' } })
      .catch(() => undefined)
    for (const id of [good, packed, waiting]) await client('seen').until(id, (task) => look(task) || true)
    await startWorker()
    await Promise.all([good, packed].map((id) => client('seen').until(id, look)))
    await client('seen').until(waiting, (task) => look(task) || task.task_status === 'processing')
    await client('seen').call('POST', `/v2/tasks/${waiting}/cancel`)
    await client('seen').until(waiting, look)

    expect(refused).toBeUndefined()
    expect([...seen.keys()].sort()).toEqual(['failure', 'processing', 'queued', 'success', 'transferring'])
    expect(described.properties.task_status.enum).toEqual([
      'queued',
      'processing',
      'transferring',
      'success',
      'failure'
    ])
    expect(described.properties.status.enum).toEqual(['pending', 'processing', 'success', 'failure'])
    expect(check({ ...Object(seen.get('success')), task_status: 'canceled' })).toBe(false)
  })
})
