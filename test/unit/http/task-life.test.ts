import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import { beforeEach, describe, expect, test } from 'vitest'
import { imageId, ownerId, taskId } from '../../../src/domain/ids.ts'
import { NO_PROGRESS, type Task } from '../../../src/domain/task.ts'
import { MAX_KEEP_SECONDS } from './memory-life.ts'
import { appOver, MemoryService, token } from './memory-service.ts'

const member = token('demo')
const failure = { code: 'DEST_FORBIDDEN', actor: 'user', retriable: false, phase: 'transferring', attempts: 1 } as const
const FAILED = {
  status: 'failure',
  message: 'it failed',
  failure,
  expiresAt: new Date(Date.now() + 3_600_000)
} as const
const RESULT = {
  location: 'https://h/o',
  bytes: 10,
  virtualSize: 512,
  sha256: 'ab',
  composite: null,
  parts: 1,
  durationSeconds: 1
}
const SUCCEEDED = { status: 'success', result: RESULT, expiresAt: new Date(Date.now() + 3_600_000) } as const

const service = new MemoryService()
const apps = {
  usual: appOver(service),
  deleting: appOver(service, { deletesTasks: true }),
  impatient: appOver(service, { waitSeconds: 1 })
}
beforeEach(() => {
  service.tasks.clear()
  service.images.clear()
})

/** One task of the project demo, and requests to what is below it. */
function oneTask(change: Partial<Task> = {}, app: FastifyInstance = apps.usual) {
  const { id, request } = service.addTask(change)
  service.addImage({ id: imageId(request.imageId), status: 'active' })
  const ask = (method: 'GET' | 'POST' | 'PATCH' | 'DELETE', below = '', payload?: object, headers = {}, as = member) =>
    app.inject({ method, url: `/v2/tasks/${id}${below}`, headers: { ...as, ...headers }, ...(payload && { payload }) })
  return { app, id, ask }
}
const codeOf = (answer: { json(): { error: { failure_code: string } } }) => answer.json().error.failure_code

describe('POST /v2/tasks/{id}/cancel', () => {
  test('ends a task that waits, and says so to clients of five statuses', async () => {
    const { ask } = oneTask()

    const answer = await ask('POST', '/cancel', { reason: 'the wrong image' })

    expect(answer.statusCode).toBe(202)
    expect(answer.json()).toMatchObject({
      task_status: 'failure',
      status: 'failure',
      message: 'The export was canceled by a user of its project: the wrong image.',
      failure: { code: 'CANCELED_BY_USER', actor: 'user', retriable: true, upstream: null }
    })
    expect((await ask('GET')).json()).toEqual(answer.json())
    expect((await ask('GET')).headers.etag).toBe(answer.headers.etag)
  })

  test('shows one that runs as canceling, however often it is asked, with a body or without', async () => {
    const { ask } = oneTask({ status: 'transferring' })

    for (const answer of [await ask('POST', '/cancel'), await ask('POST', '/cancel', {}), await ask('GET')]) {
      expect(answer.json()).toMatchObject({ task_status: 'transferring', status: 'processing', phase: 'canceling' })
    }
    const empty = await ask('POST', '/cancel', undefined, { 'content-type': 'application/json' })
    expect(empty.statusCode).toBe(202)
  })

  test('is refused after the end, and from the commit on', async () => {
    expect(codeOf(await oneTask(SUCCEEDED).ask('POST', '/cancel'))).toBe('TASK_FINISHED')
    const committing = { status: 'transferring', progress: { ...NO_PROGRESS, phase: 'committing' } } as const

    const answer = await oneTask(committing).ask('POST', '/cancel')

    expect([answer.statusCode, codeOf(answer)]).toEqual([409, 'ALREADY_COMMITTED'])
  })

  test.each([[{ reason: '' }], [{ reason: 'a\nb' }], [{ reason: 7 }], [{ why: 'x' }], [[]]])(
    'refuses the body %j',
    async (payload) => {
      expect((await oneTask().ask('POST', '/cancel', payload)).statusCode).toBe(400)
    }
  )

  test('by an admin of another project is the operator’s', async () => {
    const { ask } = oneTask()

    const answer = await ask('POST', '/cancel', undefined, {}, token('ops', 'admin'))

    expect(answer.json().failure).toMatchObject({ code: 'CANCELED_BY_OPERATOR', actor: 'operator' })
  })
})

describe('POST /v2/tasks/{id}/retry', () => {
  test('makes a new task of the same request', async () => {
    const { ask, id } = oneTask(FAILED)

    const answer = await ask('POST', '/retry')

    expect(answer.statusCode).toBe(201)
    const { id: again, ...body } = answer.json()
    expect(again).not.toBe(id)
    expect(answer.headers.location).toBe(`/v2/tasks/${again}`)
    expect(body).toMatchObject({ retry_of: id, task_status: 'queued', export_format: 'qcow2' })
    expect(service.asked).toMatchObject(service.tasks.get(id)?.request ?? {})
    expect((await ask('GET')).json()).not.toHaveProperty('retry_of')
  })

  test('needs credentials again where there were any', async () => {
    const credentials = { kind: 'bearer', fingerprint: 'f', state: 'purged' } as const
    const { ask } = oneTask({ ...FAILED, credentials })

    const without = await ask('POST', '/retry')
    const given = { kind: 'bearer', token: 's3cr3t-CANARY' }
    const withThem = await ask('POST', '/retry', { export_to_credentials: given })

    expect([without.statusCode, codeOf(without)]).toEqual([409, 'CREDENTIALS_PURGED'])
    expect(without.json().error.message).toContain('export_to_credentials')
    expect(withThem.statusCode).toBe(201)
    expect(withThem.body).not.toContain('CANARY')
    expect(service.asked).toMatchObject({ credentials: given })
  })

  test('needs the disk key again where there was one, and takes one where there was none', async () => {
    const { request } = service.addTask()
    const options = { ...request.options, scrub: { profile: 'generalize', keyed: true } } as const
    const { ask } = oneTask({ ...FAILED, request: { ...request, options } })
    const scrub = { disk_key: 'CANARY key' }

    const without = await ask('POST', '/retry')
    const withIt = await ask('POST', '/retry', { scrub })
    const asked = service.asked
    const atLast = await oneTask({
      ...FAILED,
      request: { ...request, options: { ...options, scrub: { profile: 'generalize' } } }
    }).ask('POST', '/retry', { scrub })

    expect([without.statusCode, codeOf(without)]).toEqual([409, 'DISK_KEY_PURGED'])
    expect(without.json().error.message).toContain('disk_key')
    expect([withIt.statusCode, atLast.statusCode]).toEqual([201, 201])
    expect([asked, service.asked]).toMatchObject([{ diskKey: 'CANARY key' }, { diskKey: 'CANARY key' }])
    expect(withIt.json()).toMatchObject({
      scrub: { profile: 'generalize' },
      input: { scrub: { profile: 'generalize' } }
    })
    expect(withIt.body + atLast.body).not.toMatch(/CANARY|keyed|disk_key/)
  })

  test('is refused for a success, for what has not ended, and without the image', async () => {
    expect(codeOf(await oneTask(SUCCEEDED).ask('POST', '/retry'))).toBe('TASK_FINISHED')
    expect(codeOf(await oneTask({ status: 'transferring' }).ask('POST', '/retry'))).toBe('TASK_NOT_FINISHED')
    const { ask } = oneTask(FAILED)
    service.images.clear()

    const answer = await ask('POST', '/retry')

    expect([answer.statusCode, codeOf(answer)]).toEqual([404, 'IMAGE_NOT_FOUND'])
  })

  test('leaves the rights of who retries: a member gets no high priority', async () => {
    const labels = { description: 'd', tags: ['t'], metadata: {}, priority: 'high', keepSeconds: null } as const
    const { ask } = oneTask({ ...FAILED, labels })

    expect((await ask('POST', '/retry')).json()).toMatchObject({ priority: 'normal', tags: ['t'], description: 'd' })
  })

  test.each([[{ export_to: 'https://h/p' }], [{ export_to_credentials: { kind: 'bearer' } }], ['x']])(
    'refuses the body %j',
    async (payload) => {
      const answer = await oneTask(FAILED).ask('POST', '/retry', payload as object, {
        'content-type': 'application/json'
      })
      expect(answer.statusCode).toBe(400)
    }
  )
})

describe('PATCH /v2/tasks/{id}', () => {
  test.each(['application/json', 'application/merge-patch+json', 'application/json; charset=utf-8'])(
    'merges what is sent as %s',
    async (type) => {
      const labels = {
        description: 'old',
        tags: ['a'],
        metadata: { a: '1', b: '2' },
        priority: 'normal',
        keepSeconds: null
      } as const
      const { ask } = oneTask({ labels })
      const patch = {
        tags: ['b', 'c'],
        metadata: { a: null, c: '3' },
        priority: 'low',
        limits: { bandwidth_bps: 65_536 }
      }

      const answer = await ask('PATCH', '', patch, { 'content-type': type })

      expect(answer.statusCode).toBe(200)
      expect(answer.json()).toMatchObject({
        description: 'old',
        tags: ['b', 'c'],
        priority: 'low',
        limits: patch.limits
      })
      expect(answer.json().metadata).toEqual({ b: '2', c: '3' })
      expect((await ask('GET')).headers.etag).toBe(answer.headers.etag)
    }
  )

  test('null takes away', async () => {
    const labels = {
      description: 'old',
      tags: ['a'],
      metadata: { a: '1' },
      priority: 'normal',
      keepSeconds: null
    } as const
    const { ask } = oneTask({ labels })
    await ask('PATCH', '', { limits: { bandwidth_bps: 65_536 } })

    const gone = { description: null, tags: null, metadata: null, limits: { bandwidth_bps: null } }
    const answer = await ask('PATCH', '', gone)

    expect(answer.json()).toMatchObject({ description: '', tags: [], metadata: {} })
    expect(answer.json()).not.toHaveProperty('limits')
  })

  test('holds its caller to what was seen: If-Match', async () => {
    const { ask } = oneTask()
    const etag = String((await ask('GET')).headers.etag)
    const patch = (ifMatch: string) => ask('PATCH', '', { description: ifMatch }, { 'if-match': ifMatch })

    expect(etag).toMatch(/^"[\w-]{22}"$/)
    expect((await patch(etag)).statusCode).toBe(200)
    const late = await patch(etag)
    expect([late.statusCode, codeOf(late)]).toEqual([412, 'TASK_CHANGED'])
    expect((await patch(`"x", ${(await ask('GET')).headers.etag}`)).statusCode).toBe(200)
    expect((await patch(`W/${(await ask('GET')).headers.etag}`)).statusCode).toBe(412)
    expect((await patch('*')).statusCode).toBe(200)
  })

  test('does not mind that the task has another place in the queue by now: If-Match', async () => {
    const { ask } = oneTask({ ahead: 4 })
    const etag = String((await ask('GET')).headers.etag)
    const change = (ifMatch: string) => ask('PATCH', '', { description: 'x' }, { 'if-match': ifMatch })

    expect(etag).toMatch(/^"[\w-]{22}\.5"$/)
    expect((await change(etag.replace('.5"', '.3"'))).statusCode).toBe(200)
    expect((await change(etag)).statusCode).toBe(412)
    const now = String((await ask('GET')).headers.etag)
    expect((await change(now.replace('.5"', '"'))).statusCode).toBe(200) // as it was created
  })

  test('puts off the end of a task, within the operator’s maximum', async () => {
    const { ask } = oneTask(FAILED)
    const at = (seconds: number) => new Date(Date.now() + seconds * 1000).toISOString()

    const later = at(MAX_KEEP_SECONDS - 60)
    expect((await ask('PATCH', '', { expires_at: later })).json().expires_at).toBe(`${later.slice(0, 19)}Z`)
    for (const wrong of [at(60), at(MAX_KEEP_SECONDS + 60), '2026-13-41T00:00:00Z', '2027-01-01', 'tomorrow']) {
      const answer = await ask('PATCH', '', { expires_at: wrong })
      expect([answer.statusCode, answer.json().error.violations[0].pointer]).toEqual([400, '/expires_at'])
    }
  })

  test.each([
    ['the priority of one that runs', { status: 'processing' }, { priority: 'low' }, 'TASK_STARTED'],
    ['the priority of one that has ended', FAILED, { priority: 'low' }, 'TASK_FINISHED'],
    ['the bandwidth of one that has ended', SUCCEEDED, { limits: { bandwidth_bps: 65_536 } }, 'TASK_FINISHED'],
    ['the expiry of one that has not', {}, { expires_at: '2036-01-01T00:00:00Z' }, 'TASK_NOT_FINISHED']
  ] as const)('refuses %s', async (_what, task, patch, code) => {
    const answer = await oneTask(task).ask('PATCH', '', patch)

    expect([answer.statusCode, codeOf(answer)]).toEqual([409, code])
  })

  test.each([
    [{ colour: 'red' }],
    [{ export_to: 'https://h/p' }],
    [{ limits: { max_attempts: 3 } }],
    [{ limits: { bandwidth_bps: 1 } }],
    [{ tags: ['a', 'a'] }],
    [{ metadata: { a: 1 } }],
    [{ priority: null }],
    [[]]
  ])('refuses %j', async (patch) => {
    expect((await oneTask().ask('PATCH', '', patch)).statusCode).toBe(400)
  })

  test('refuses other patches by their type, and a high priority to members', async () => {
    const { ask } = oneTask()

    const json = await ask('PATCH', '', {}, { 'content-type': 'application/json-patch+json' })

    expect([json.statusCode, json.headers['accept-patch']]).toEqual([415, 'application/merge-patch+json'])
    expect((await ask('PATCH', '', { priority: 'high' })).statusCode).toBe(403)
    expect((await ask('PATCH', '', { priority: 'high' }, {}, token('demo', 'admin'))).statusCode).toBe(200)
  })
})

describe('DELETE /v2/tasks/{id}', () => {
  test('is 405 unless it is turned on; then it forgets what has ended', async () => {
    expect((await oneTask(FAILED).ask('DELETE')).statusCode).toBe(405)
    const running = await oneTask({}, apps.deleting).ask('DELETE')
    expect([running.statusCode, codeOf(running)]).toEqual([409, 'TASK_NOT_FINISHED'])
    const { ask } = oneTask(FAILED, apps.deleting)

    expect((await ask('DELETE')).statusCode).toBe(204)

    expect((await ask('GET')).statusCode).toBe(404)
  })
})

describe('every route of one task', () => {
  const routes = [
    ['GET', ''],
    ['POST', '/cancel'],
    ['POST', '/retry'],
    ['PATCH', ''],
    ['DELETE', '']
  ] as const

  test.each(routes)('%s %s answers foreign, missing and malformed ids alike', async (method, below) => {
    const { app } = oneTask(FAILED, apps.deleting)
    const foreign = service.addTask({ ...FAILED, owner: ownerId('other') }).id
    const ids = [foreign, taskId('43215678-4321-4321-8321-432156789abc'), 'nope']

    for (const id of ids) {
      const payload = method === 'PATCH' ? { payload: { description: 'x' } } : {}
      const headers = method === 'PATCH' ? { ...member, 'if-match': '"x"' } : member
      const answer = await app.inject({ method, url: `/v2/tasks/${id}${below}`, headers, ...payload })
      expect(answer.statusCode).toBe(404)
      expect(answer.json().error).toEqual({
        code: 404,
        title: 'Not Found',
        message: `Could not find task ${id}`,
        failure_code: 'TASK_NOT_FOUND'
      })
    }
    expect(service.tasks.get(foreign)).toMatchObject(FAILED)
  })

  test.each(routes.slice(1))('%s %s is not for readers', async (method, below) => {
    const { ask, id } = oneTask(FAILED, apps.deleting)
    const payload = method === 'PATCH' ? { description: 'x' } : undefined

    expect((await ask(method, below, payload, {}, token('demo', 'reader'))).statusCode).toBe(403)
    expect(service.tasks.size).toBe(1)
    expect(service.tasks.get(id)).toMatchObject(FAILED)
  })
})

describe('news of a task', () => {
  const known = async (ask: ReturnType<typeof oneTask>['ask']) => String((await ask('GET')).headers.etag)
  const wait = (etag: string, seconds = 30) => ({ 'if-none-match': etag, prefer: `wait=${seconds}` })

  test('are asked for with If-None-Match', async () => {
    const { ask } = oneTask()
    const etag = await known(ask)

    const same = await ask('GET', '', undefined, { 'if-none-match': `"x", W/${etag}` })
    const other = await ask('GET', '', undefined, { 'if-none-match': '"x"' })

    expect([same.statusCode, same.body, same.headers.etag]).toEqual([304, '', etag])
    expect(same.headers).not.toHaveProperty('preference-applied')
    expect(other.statusCode).toBe(200)
  })

  test('are waited for', async () => {
    const { ask, id } = oneTask()
    const headers = wait(await known(ask))
    const waiting = ask('GET', '', undefined, headers)
    await sleep(30)

    service.changeTask(id, { status: 'processing' })

    const answer = await waiting
    expect([answer.statusCode, answer.headers['preference-applied']]).toEqual([200, 'wait=30'])
    expect(answer.json().task_status).toBe('processing')
  })

  test('that do not come are a 304 when the time is over', async () => {
    const { ask } = oneTask()
    const etag = await known(ask)

    const answer = await ask('GET', '', undefined, wait(etag, 1))

    expect([answer.statusCode, answer.headers.etag]).toEqual([304, etag])
    expect(answer.headers['preference-applied']).toBe('wait=1')
  })

  test('are given at once to who does not know the task as it is, or asks for no wait', async () => {
    const { ask } = oneTask()
    for (const headers of [wait('"older"'), { prefer: 'wait=30' }, wait(await known(ask), 0)]) {
      expect([200, 304]).toContain((await ask('GET', '', undefined, headers)).statusCode)
    }
  })

  test('are not waited for longer than the service allows', async () => {
    const { ask } = oneTask({}, apps.impatient)

    const answer = await ask('GET', '', undefined, wait(await known(ask), 100_000))

    expect([answer.statusCode, answer.headers['preference-applied']]).toEqual([304, 'wait=1'])
  })

  test('end with the task: 404 when it has gone', async () => {
    const { ask, id } = oneTask()
    const headers = wait(await known(ask))
    const waiting = ask('GET', '', undefined, headers)
    await sleep(30)

    service.tasks.delete(id)

    expect((await waiting).statusCode).toBe(404)
  })

  test('are not waited for when too many wait already', async () => {
    const { ask } = oneTask()
    const etag = await known(ask)
    const waiting = Array.from({ length: 100 }, () => ask('GET', '', undefined, wait(etag, 1)))
    await sleep(100)

    const answer = await ask('GET', '', undefined, wait(etag, 600))

    expect([answer.statusCode, answer.headers['preference-applied']]).toEqual([304, undefined])
    for (const { statusCode } of await Promise.all(waiting)) expect(statusCode).toBe(304)
  })

  test('are not waited for any more when the service stops', async () => {
    const other = new MemoryService()
    const { id } = other.addTask()
    const app = appOver(other)
    const get = (headers = {}) => app.inject({ url: `/v2/tasks/${id}`, headers: { ...member, ...headers } })
    const { etag } = (await get()).headers
    const waiting = get(wait(String(etag), 600))
    await sleep(30)

    await app.close()

    expect((await waiting).statusCode).toBe(304)
  })

  test.each([
    ['a few seconds', 0, '2'],
    ['minutes', 5 * 60_000, '5'],
    ['half an hour', 30 * 60_000, '15'],
    ['hours', 3 * 3_600_000, '30']
  ])('of a task that has gone on for %s are worth asking for again later', async (_time, ageMs, seconds) => {
    const { ask } = oneTask({ createdAt: new Date(Date.now() - ageMs) })

    expect((await ask('GET')).headers['retry-after']).toBe(seconds)
  })

  test('of one that has ended do not come', async () => {
    expect((await oneTask(FAILED).ask('GET')).headers).not.toHaveProperty('retry-after')
  })
})

describe('POST /v2/tasks with Prefer: wait', () => {
  const create = async (change: Partial<Task>) => {
    const { app } = oneTask()
    const payload = {
      task_type: 'export',
      image_uuid: 'deadbeef-dead-dead-dead-beefbeefbeef',
      export_to: 'https://store.example.com/p',
      export_format: 'raw'
    }
    const headers = { ...member, prefer: 'respond-async, wait="1"' }
    const waiting = app.inject({ method: 'POST', url: '/v2/tasks', headers, payload })
    await sleep(30)
    const id = [...service.tasks.keys()].at(-1) ?? ''
    service.changeTask(id, change)
    return waiting
  }

  test.each([
    ['it fails', FAILED, { task_status: 'failure' }],
    ['it begins to send', { status: 'transferring' }, { task_status: 'transferring' }],
    ['it has to wait', { startedAt: new Date(), attempts: 1 }, { phase: 'waiting_retry' }]
  ] as const)('answers as soon as %s', async (_what, change, expected) => {
    const answer = await create(change)

    expect([answer.statusCode, answer.headers['preference-applied']]).toEqual([201, 'wait=1'])
    expect(answer.json()).toMatchObject(expected)
  })

  test('answers with what is so when the time is over', async () => {
    const answer = await create({ status: 'processing', progress: { ...NO_PROGRESS, phase: 'preflight' } })

    expect(answer.statusCode).toBe(201)
    expect(answer.json()).toMatchObject({ task_status: 'processing', phase: 'preflight' })
  })
})

describe('what is shown of a task that goes on', () => {
  test('its progress, which says 100 % only at success', async () => {
    const progress = {
      ...NO_PROGRESS,
      phase: 'verifying',
      total: 1000,
      sent: 900,
      acked: 800,
      data: 300,
      zero: 100,
      percent: 100,
      bytesPerSecond: 50,
      secondsLeft: 90,
      throttled: true,
      at: '2026-11-22T07:00:00.900Z'
    } as const
    const shown = await oneTask({ status: 'transferring', progress }).ask('GET')

    expect(shown.json()).toMatchObject({ phase: 'verifying' })
    expect(shown.headers['x-export-percent']).toBe('99.9')
    expect(shown.json().progress).toEqual({
      bytes_total: 1000,
      bytes_read: 400,
      bytes_data: 300,
      bytes_zero: 100,
      bytes_sent: 900,
      bytes_acked: 800,
      bytes_resent: 0,
      rate_bps: 50,
      eta_seconds: 90,
      eta: '2026-11-22T07:01:30Z',
      percent: 99.9,
      stalled: false,
      throttled: true,
      scrub: null,
      updated_at: '2026-11-22T07:00:00Z'
    })
    expect((await oneTask({ ...SUCCEEDED, progress }).ask('GET')).json().progress.percent).toBe(100)
  })

  test.each([
    ['accepted', { ahead: 0 }, { position: 1, ahead: 0 }],
    ['waiting_slot', { ahead: 4 }, { position: 5, ahead: 4 }],
    ['waiting_slot', { ahead: 0, startedAt: new Date() }, { position: 1, ahead: 0 }],
    ['waiting_retry', { ahead: 0, attempts: 1 }, { position: 1, ahead: 0 }],
    ['waiting_retry', { ahead: 0, startedAt: new Date(), message: 'no room' }, { position: 1, ahead: 0 }]
  ])('that it is %s: %j', async (phase, task, queue) => {
    expect((await oneTask(task).ask('GET')).json()).toMatchObject({ phase, queue, progress: null })
  })

  test('of a failure who answered what, and what to do', async () => {
    const upstream = { host: 'h:8080', status: 403 }
    const { ask } = oneTask({ ...FAILED, failure: { ...failure, hint: 'allow it', upstream } })

    expect((await ask('GET')).json().failure).toEqual({ ...failure, hint: 'allow it', upstream })
  })
})
