import { describe, expect, test } from 'vitest'
import { NO_OPTIONS } from '../../../src/domain/export-options.ts'
import { type ImageId, imageId, ownerId } from '../../../src/domain/ids.ts'
import { TASK_STATUSES } from '../../../src/domain/task.ts'
import type { Viewer } from '../../../src/domain/viewer.ts'
import type { TaskQuery, TaskSortKey, TimeSpan } from '../../../src/export/task-query.ts'
import { appOver, MemoryService, token } from './memory-service.ts'

const member = token('demo')
const OTHER = imageId('00000000-0000-4000-8000-000000000001')

const ascending = (key: TaskSortKey) => ({ key, direction: 'asc' }) as const
const descending = (key: TaskSortKey) => ({ key, direction: 'desc' }) as const
const within = (span: TimeSpan) => ({ within: [span], outside: [] })
const at = (time: string) => new Date(`2026-11-22T${time}Z`)

/** Follows `next` as python-glanceclient does: as it is, behind the endpoint. */
async function follow(app: ReturnType<typeof appOver>, start: string, key: 'tasks' | 'images'): Promise<string[][]> {
  const pages: string[][] = []
  for (let url: string | undefined = start; url; ) {
    const body: { [list: string]: unknown; next?: string } = (await app.inject({ url, headers: member })).json()
    pages.push((body[key] as { id: string }[]).map(({ id }) => id))
    url = body.next
  }
  return pages
}

describe('GET /v2/tasks', () => {
  test('lists tasks without input, result and message', async () => {
    const service = new MemoryService()
    const task = service.addTask()

    const body = (await appOver(service).inject({ url: '/v2/tasks', headers: member })).json()

    expect(body).toEqual({
      tasks: [
        {
          id: task.id,
          type: 'export',
          status: 'pending',
          owner: 'demo',
          created_at: '2026-11-22T06:50:40Z',
          updated_at: '2026-11-22T06:50:40Z',
          self: `/v2/tasks/${task.id}`,
          schema: '/v2/schemas/task',
          task_type: 'export',
          task_status: 'queued',
          image_uuid: task.request.imageId
        }
      ],
      first: '/v2/tasks',
      schema: '/v2/schemas/tasks'
    })
  })

  test('pages through everything once, and the last page has no next', async () => {
    const service = new MemoryService()
    const ids = Array.from({ length: 6 }, () => service.addTask().id).reverse()

    const pages = await follow(appOver(service), '/v2/tasks?limit=2', 'tasks')

    expect(pages).toEqual([ids.slice(0, 2), ids.slice(2, 4), ids.slice(4)])
  })

  test('keeps limit, order and filters in its links, which are paths', async () => {
    const service = new MemoryService()
    const tasks = [service.addTask(), service.addTask(), service.addTask()]
    const query = 'limit=1&sort_key=status&sort_dir=asc&status=pending'
    const app = appOver(service)

    const first = (await app.inject({ url: `/v2/tasks?${query}`, headers: member })).json()
    const second = (await app.inject({ url: first.next, headers: member })).json()

    expect(first).toMatchObject({ first: `/v2/tasks?${query}`, next: `/v2/tasks?${query}&marker=${tasks[0]?.id}` })
    expect(second).toMatchObject({ first: `/v2/tasks?${query}`, tasks: [{ id: tasks[1]?.id }] })
  })

  test.each([
    ['status=pending', ['queued']],
    ['status=waiting', ['queued']],
    ['task_status=waiting', ['queued']],
    ['status=queued', ['queued']],
    ['status=processing', ['processing', 'transferring']],
    ['task_status=processing', ['processing']],
    ['task_status=transferring', ['transferring']],
    ['status=processing&task_status=transferring', ['transferring']],
    ['status=success&task_status=failure', []],
    ['type=export&status=failure', ['failure']]
  ])('understands the filter %s', async (query, statuses) => {
    const service = new MemoryService()
    for (const status of TASK_STATUSES) service.addTask({ status })

    const body = (await appOver(service).inject({ url: `/v2/tasks?${query}&sort_dir=asc`, headers: member })).json()

    expect(body.tasks.map((task: { task_status: string }) => task.task_status)).toEqual(statuses)
  })

  test('filters by image under both names', async () => {
    const service = new MemoryService()
    service.addTask()
    const wanted = service.addTask({
      request: {
        imageId: OTHER,
        exportTo: 'https://a.example.com/b',
        exportFormat: 'raw',
        formatOptions: {},
        options: NO_OPTIONS
      }
    })
    const app = appOver(service)

    for (const name of ['image_id', 'image_uuid']) {
      const body = (await app.inject({ url: `/v2/tasks?${name}=${OTHER}`, headers: member })).json()
      expect(body.tasks.map(({ id }: { id: string }) => id)).toEqual([wanted.id])
    }
  })

  test.each<[string, Partial<TaskQuery>]>([
    ['status=in:pending,success', { statuses: ['queued', 'success'] }],
    ['sort=status:asc,updated_at', { order: [ascending('status'), descending('updated_at')] }],
    ['export_format=in:raw,qcow2', { formats: ['raw', 'qcow2'] }],
    ['destination_host=Cloud.Example:8080', { destinationHosts: ['cloud.example:8080'] }],
    ['tag=nightly,golden%20image', { tags: ['nightly', 'golden image'] }],
    ['owner=demo', { owner: ownerId('demo') }],
    ['created_at=2026-11-22T10:00:00Z', { created: within({ from: at('10:00:00'), to: at('10:00:01') }) }],
    ['created_at=eq:2026-11-22T10:00:00.7Z', { created: within({ from: at('10:00:00'), to: at('10:00:01') }) }],
    ['created_at=gt:2026-11-22T10:00:00Z', { created: within({ from: at('10:00:01') }) }],
    ['created_at=gte:2026-11-22T10:00:00', { created: within({ from: at('10:00:00') }) }],
    ['updated_at=lt:2026-11-22T12:00:00%2B02:00', { updated: within({ to: at('10:00:00') }) }],
    ['updated_at=lte:2026-11-22T10:00:00Z', { updated: within({ to: at('10:00:01') }) }],
    ['updated_at=neq:2026-11-22', { updated: { within: [], outside: [{ from: at('00:00:00'), to: at('00:00:01') }] } }]
  ])('reads ?%s', async (parameters, expected) => {
    const service = new MemoryService()
    const asked: TaskQuery[] = []
    const tasks = {
      ...service.taskUses,
      listTasks: async (_viewer: Viewer, query: TaskQuery) => {
        asked.push(query)
        return []
      }
    }

    const answer = await appOver(service, { tasks }).inject({ url: `/v2/tasks?${parameters}`, headers: member })

    expect(answer.statusCode).toBe(200)
    expect(asked).toMatchObject([expected])
  })

  test('takes a limit of 0 for an empty page and clamps large ones', async () => {
    const service = new MemoryService()
    service.addTask()
    const limits: number[] = []
    const listTasks = service.taskUses.listTasks
    const tasks = {
      ...service.taskUses,
      listTasks: async (...[viewer, query]: Parameters<typeof listTasks>) => {
        limits.push(query.limit)
        return listTasks(viewer, query)
      }
    }
    const app = appOver(service, { tasks })

    const none = (await app.inject({ url: '/v2/tasks?limit=0', headers: member })).json()
    await app.inject({ url: '/v2/tasks?limit=999999999', headers: member })
    await app.inject({ url: '/v2/tasks', headers: member })

    expect(none).toEqual({ tasks: [], first: '/v2/tasks?limit=0', schema: '/v2/schemas/tasks' })
    expect(limits).toEqual([1001, 26]) // one more than the page, to know whether something follows
  })

  test.each([
    ['limit=-1', 'limit must be a whole number'],
    ['limit=', 'limit must be a whole number'],
    ['limit=1&limit=2', 'limit must be a string, but is an array'],
    ['marker=nope', 'marker must be a UUID'],
    ['marker=11111111-1111-4111-8111-111111111111', 'was not found'],
    ['sort_key=owner', 'sort_key must be one of created_at'],
    ['sort_dir=up', 'sort_dir must be one of asc, desc'],
    ['status=done', 'status must be one of pending'],
    ['type=import', 'type must be one of export'],
    ['status=in:', 'status must be one of pending'],
    ['status=in:success,done', 'status must be one of pending'],
    ['sort=created_at:up', 'sort must be up to four keys'],
    ['sort=owner', 'sort must be up to four keys'],
    ['sort=status&sort_dir=asc', 'takes the place of sort_key and sort_dir'],
    ['created_at=yesterday', 'created_at must be a time'],
    ['created_at=ge:2026-11-22', 'created_at must be a time'],
    ['created_at=gt:2026-13-22', 'is not a time that exists'],
    ['updated_at=lte:2026-02-29T10:00:00Z', 'is not a time that exists'],
    ['tag=', 'tag must be a tag'],
    ['export_format=in:raw,', 'export_format must be a disk format'],
    ['destination_host=a/b', 'destination_host must be a host']
  ])('refuses ?%s', async (query, text) => {
    const answer = await appOver(new MemoryService()).inject({ url: `/v2/tasks?${query}`, headers: member })

    expect(answer.statusCode).toBe(400)
    expect(answer.json().error.message).toContain(text)
  })
})

describe('GET /v2/images/{id}/tasks', () => {
  test('lists the tasks of the image, whole, newest first', async () => {
    const service = new MemoryService()
    const image = service.addImage({})
    const of = (imageId: ImageId) => ({
      request: {
        imageId,
        exportTo: 'https://a.example.com/b',
        exportFormat: 'raw',
        formatOptions: {},
        options: NO_OPTIONS
      }
    })
    const first = service.addTask(of(image.id))
    service.addTask(of(OTHER))
    const second = service.addTask(of(image.id))

    const answer = await appOver(service).inject({ url: `/v2/images/${image.id}/tasks`, headers: member })

    expect(answer.json().tasks).toMatchObject([
      { id: second.id, input: { image_uuid: image.id }, message: '' },
      { id: first.id, input: { image_uuid: image.id }, message: '' }
    ])
  })

  test('is a 404 for an image that the caller may not see', async () => {
    const service = new MemoryService()
    const image = service.addImage({ owner: ownerId('other') })

    const answer = await appOver(service).inject({ url: `/v2/images/${image.id}/tasks`, headers: member })

    expect(answer.statusCode).toBe(404)
  })
})

describe('GET /v2/images', () => {
  test('pages through images and filters by name', async () => {
    const service = new MemoryService()
    const ids = Array.from({ length: 3 }, (_none, at) => service.addImage({ name: `n${at % 2}` }).id)
    const app = appOver(service)

    expect(await follow(app, '/v2/images?limit=2&sort=name:asc', 'images')).toEqual([ids.slice(0, 2), ids.slice(2)])
    expect(await follow(app, '/v2/images?name=n1', 'images')).toEqual([[ids[1]]])
  })

  test.each(['sort=name:up', 'sort=size,name', 'sort_key=checksum', 'limit=x', 'name=a%00b'])(
    'refuses ?%s',
    async (query) => {
      const answer = await appOver(new MemoryService()).inject({ url: `/v2/images?${query}`, headers: member })

      expect(answer.statusCode).toBe(400)
    }
  )
})
