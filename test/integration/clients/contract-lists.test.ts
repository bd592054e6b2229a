import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { contract, type Row, rows, UNKNOWN } from './contract.ts'
import { type WholeService, wholeService } from './whole-service.ts'

let service: WholeService
let image = ''
beforeAll(async () => {
  service = await wholeService()
  image = await service.client.upload(Buffer.alloc(1 << 20, 'disk'), 'raw')
})
afterAll(() => service[Symbol.asyncDispose]())

const { ask, holds } = contract(() => service.url)
const input = (change: object = {}) => ({
  image_uuid: image,
  export_to: service.place,
  export_format: 'qcow2',
  ...change
})
const create = (more: Partial<Row> = {}) =>
  ask({ method: 'POST', path: '/v2/tasks', body: JSON.stringify({ type: 'export', input: input() }), ...more })

describe('list', () => {
  const project = 'lists'
  const token = `alice:${project}:member`
  const list = async (query: string, as = token) =>
    JSON.parse((await ask({ path: `/v2/tasks${query}`, token: as })).body)
  const ids = (page: { tasks: { id: string }[] }) => page.tasks.map(({ id }) => id)
  let made: string[] = []
  beforeAll(async () => {
    const own = await ask({
      method: 'POST',
      path: '/v2/images',
      token,
      body: JSON.stringify({ name: 'listed', disk_format: 'raw', container_format: 'bare' })
    })
    const { id } = JSON.parse(own.body)
    const headers = { 'Content-Type': 'application/octet-stream' }
    await ask({ method: 'PUT', path: `/v2/images/${id}/file`, token, headers, body: Buffer.alloc(4096) })
    for (let count = 0; count < 5; count += 1) {
      const body = JSON.stringify({ type: 'export', input: input({ image_uuid: id }) })
      made = [JSON.parse((await create({ token, body })).body).id, ...made]
    }
  })

  it('shows the newest first, without what only one task shows', async () => {
    const page = await list('')

    expect(ids(page)).toEqual(made)
    expect(page).toEqual({ tasks: page.tasks, first: '/v2/tasks', schema: '/v2/schemas/tasks' })
    expect(Object.keys(page.tasks[0]).filter((name) => /^(input|result|message)$/.test(name))).toEqual([])
    expect(page.tasks[0]).toMatchObject({
      type: 'export',
      status: 'pending',
      owner: project,
      schema: '/v2/schemas/task'
    })
  })

  it('leads from page to page by paths that keep limit, filters and order', async () => {
    const query = 'limit=2&sort_key=created_at&sort_dir=asc&status=pending&type=export'
    const first = await list(`?${query}`)
    const second = await list(first.next.replace('/v2/tasks', ''))
    const third = await list(second.next.replace('/v2/tasks', ''))

    expect([first, second, third].flatMap(ids)).toEqual(made.toReversed())
    expect(first.next).toMatch(/^\/v2\/tasks\?/)
    expect(new URLSearchParams(first.next.split('?')[1]).toString()).toBe(`${query}&marker=${ids(first)[1]}`)
    expect(second.first).toBe(`/v2/tasks?${query}`)
    expect(third).not.toHaveProperty('next')
  })

  it('has no next page behind a full one that is the last', async () => {
    expect(await list('?limit=5')).not.toHaveProperty('next')
    expect(await list('?limit=0')).toEqual({ tasks: [], first: '/v2/tasks?limit=0', schema: '/v2/schemas/tasks' })
  })

  it('takes any limit, and does not know what it does not know', async () => {
    expect(ids(await list('?limit=100000'))).toHaveLength(5)
    expect(ids(await list('?colour=red'))).toHaveLength(5)
  })

  it('shows everything to an admin, and to others what is theirs', async () => {
    expect(ids(await list('', 'bob:nobodys:member'))).toEqual([])
    expect(ids(await list('?limit=1000', 'root:ops:admin'))).toEqual(expect.arrayContaining(made))
    const foreign = await ask({ path: `/v2/tasks?marker=${made[0]}`, token: 'bob:nobodys:member' })
    const unknown = await ask({ path: `/v2/tasks?marker=${UNKNOWN}`, token: 'bob:nobodys:member' })
    expect([foreign.status, unknown.status]).toEqual([400, 400])
    expect(foreign.body.replace(made[0] ?? '', '')).toBe(unknown.body.replace(UNKNOWN, ''))
  })

  it.each(
    rows(
      ...['limit=', 'limit=-1', 'limit=abc', 'limit=1.5', 'limit=1&limit=2'].map((query) => ({
        path: `/v2/tasks?${query}`,
        status: 400,
        message: /limit must be/
      })),
      { path: '/v2/tasks?marker=x', status: 400, message: /marker must be a UUID/ },
      { path: `/v2/tasks?marker=${UNKNOWN}`, status: 400, message: /was not found/ },
      { path: '/v2/tasks?sort_key=colour', status: 400, message: /sort_key must be one of created_at/ },
      { path: '/v2/tasks?sort_dir=up', status: 400, message: /sort_dir must be one of asc, desc/ },
      { path: '/v2/tasks?status=lost', status: 400, message: /status must be one of pending/ },
      { path: '/v2/tasks?type=import', status: 400, message: /type must be/ }
    )
  )('refuses %s', (_name, row) => holds(row))

  it.each(['created_at', 'updated_at', 'expires_at', 'status', 'type', 'id'])('can be ordered by %s', async (key) => {
    const up = ids(await list(`?sort_key=${key}&sort_dir=asc`))

    expect(up.toReversed()).toEqual(ids(await list(`?sort_key=${key}&sort_dir=desc`)))
    expect(up.toSorted()).toEqual(made.toSorted())
  })
})
