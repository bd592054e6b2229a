import { afterAll, beforeAll, expect, it } from 'vitest'
import { DEBIAN, describeWithClient, printed, python } from './debian.ts'
import { keystone } from './keystone.ts'
import { type Alter, proxy } from './proxy.ts'
import { TOKEN, type WholeService, wholeService } from './whole-service.ts'

const GLANCE = DEBIAN.glance.file

describeWithClient('glance', 'python-glanceclient, exchange by exchange', () => {
  let service: WholeService
  let image = ''
  let tasks: string[] = []
  beforeAll(async () => {
    service = await wholeService()
    image = await service.client.upload(Buffer.alloc(4096), 'raw')
    tasks = [await service.client.export(image, service.place), await service.client.export(image, service.place)]
  })
  afterAll(() => service[Symbol.asyncDispose]())

  /** Runs `glance` through a proxy; gives what it printed and what it asked. */
  const glance = async (
    args: readonly string[],
    { token = TOKEN, alter, home = service.home }: { token?: string; alter?: Alter; home?: string } = {}
  ) => {
    await using between = await proxy(service.url, alter)
    const login = ['--os-image-url', between.url, '--os-auth-token', token]
    const output = await printed(home, GLANCE, ...login, ...args)
    return { output, seen: between.seen, asked: between.seen.map(({ method, path }) => `${method} ${path}`) }
  }
  const exportInput = () => JSON.stringify({ image_uuid: image, export_to: service.place, export_format: 'qcow2' })

  it('task-create fetches the schema, then posts; the answer is shown with all its fields', async () => {
    const { output, asked, seen } = await glance(['task-create', '--type', 'export', '--input', exportInput()])
    tasks.push(/\| id +\| (\S+)/.exec(output)?.[1] ?? '')

    expect(asked.filter((line) => !line.includes('/versions'))).toEqual([
      'GET /v2/schemas/image',
      'GET /v2/schemas/metadefs/namespace',
      'GET /v2/schemas/metadefs/resource_type',
      'GET /v2/schemas/task',
      'POST /v2/tasks'
    ])
    expect(output).toMatch(/\| task_status +\| queued/)
    const headers = { 'user-agent': 'python-glanceclient', accept: '*/*', 'accept-encoding': 'gzip, deflate' }
    expect(seen.find(({ path }) => path === '/v2/schemas/task')?.headers).toMatchObject({
      ...headers,
      'content-type': 'application/octet-stream',
      'x-auth-token': 'alice%3Ademo%3Amember'
    })
    expect(seen.at(-1)).toMatchObject({ status: 201, headers: { ...headers, 'content-type': 'application/json' } })
  })

  it('task-list asks in its own order, then for the schema, then page after page', async () => {
    const whole = await glance(['task-list'])
    const paged = await glance(['task-list', '--page-size', '2', '--type', 'export', '--status', 'pending'])

    expect(whole.asked.slice(-2)).toEqual([
      'GET /v2/tasks?limit=20&sort_key=status&sort_dir=desc',
      'GET /v2/schemas/task'
    ])
    for (const id of tasks) expect(paged.output).toContain(id)
    const pages = paged.asked.filter((line) => line.startsWith('GET /v2/tasks'))
    expect(pages).toHaveLength(2)
    expect(pages[1]).toMatch(/limit=2.*&marker=/)
    expect(pages[1]).toContain('status=pending')
  })

  it('task-list needs /versions and a schema, or there are no tasks at all', async () => {
    const { asked } = await glance(['task-list'])
    const without =
      (pattern: RegExp): Alter =>
      (answer, { url = '' }) =>
        pattern.test(url) ? { status: 404, headers: {}, body: '' } : answer

    expect(asked.some((line) => line.startsWith('GET /versions'))).toBe(true)
    const home = `${service.home}/new` // without schemas of a run before
    const schemas = { home, alter: without(/schemas\/(image|metadefs)/) }
    await expect(glance(['task-list'], schemas)).rejects.toThrow(/falling back to v1.*invalid choice/s)
    await expect(glance(['task-list'], { alter: without(/versions/) })).rejects.toThrow('HTTPNotFound')
  })

  it.each(['id', 'type', 'status'])('task-list orders by %s', async (key) => {
    const { output } = await glance(['task-list', '--sort-key', key, '--sort-dir', 'asc'])

    for (const id of tasks) expect(output).toContain(id)
  })

  it('task-show fetches the task, then the schema', async () => {
    const { output, asked } = await glance(['task-show', tasks[0] ?? ''])

    expect(asked.slice(-2)).toEqual([`GET /v2/tasks/${tasks[0]}`, 'GET /v2/schemas/task'])
    expect(output).toContain(service.place)
  })

  it('image-tasks lists the tasks of an image', async () => {
    const { output, asked } = await glance(['--verbose', 'image-tasks', image])

    expect(asked.at(-1)).toBe(`GET /v2/images/${image}/tasks`)
    expect(output).toContain(image)
    expect(output).toContain('pending')
  })

  it('logs in to Keystone and goes where the catalogue points, under any type', async () => {
    await using cloud = await keystone(TOKEN, { image: 'http://127.0.0.1:9', exports: service.url })
    const login = ['--os-auth-url', cloud.url, '--os-username', 'alice', '--os-password', 'secret']
    const project = ['--os-project-name', 'demo', '--os-user-domain-id', 'default', '--os-project-domain-id', 'default']
    const list = (...more: string[]) => printed(service.home, GLANCE, ...login, ...project, ...more, 'task-list')

    expect(await list('--os-service-type', 'exports')).toContain(tasks[0])
    await expect(list()).rejects.toThrow('127.0.0.1:9')
  })

  it('cuts a version off the end of the URL', async () => {
    const login = ['--os-image-url', `${service.url}/v2`, '--os-auth-token', TOKEN]

    expect(await printed(service.home, GLANCE, ...login, 'task-list')).toContain(tasks[0])
  })

  it('raises for every refusal the exception that is meant for it', async () => {
    const reader = { token: 'bob:demo:reader' }
    const create = ['task-create', '--type', 'export', '--input']

    await expect(glance([...create, exportInput()], reader)).rejects.toThrow(/not authorized to complete createTask/)
    await expect(glance(['image-delete', image])).rejects.toThrow(/Unable to delete image.*in use/s)
    await expect(glance([...create, '{"export_format":"floppy"}'])).rejects.toThrow(/export_format must be one of/)
  })

  it('works as a library', async () => {
    const done = await python(service.home, 'glanceclient_library.py', service.url, TOKEN, exportInput())

    expect(done).toEqual({
      created: 'pending',
      shown: 'pending',
      listed: true,
      paged: true,
      of_image: true,
      refused: {
        missing: 'HTTPNotFound',
        foreign: 'HTTPNotFound',
        reader: 'HTTPForbidden',
        nobody: 'HTTPUnauthorized',
        marker: 'HTTPBadRequest',
        input: 'HTTPBadRequest',
        image_in_use: 'HTTPConflict',
        too_large: 'HTTPOverLimit'
      }
    })
  })
})
