import { afterAll, beforeAll, expect, it } from 'vitest'
import { DEBIAN, describeWithClient, printed, python } from './debian.ts'
import type { Answer } from './exchange.ts'
import { proxy } from './proxy.ts'
import { TOKEN, type WholeService, wholeService } from './whole-service.ts'

type Json = Record<string, unknown>

/** Something in our answers that a client relies on, by the answer without it. */
type Fault = {
  readonly name: string
  /** Uses the service at this URL; fails when the client does. */
  readonly client: (url: string) => Promise<unknown>
  /** Of the answers that are altered. */
  readonly path: RegExp
  readonly status?: number
  alter(answer: Answer): Answer
  /** What the client says then. */
  readonly breaks: RegExp
}

const json = (change: (body: Json) => unknown) => (answer: Answer) => ({
  ...answer,
  body: JSON.stringify(change(JSON.parse(answer.body)))
})
const SCHEMA = /^\/v2\/schemas\/task$/
const LIST = /^\/v2\/tasks\?/
const SHOW = /^\/v2\/tasks\/[^?]+$/
const UNKNOWN = '11111111-1111-4111-8111-111111111111'

let service: WholeService
let task = ''
let input = ''
beforeAll(async () => {
  service = await wholeService()
  const image = await service.client.upload(Buffer.alloc(4096), 'raw')
  const wanted = { image_uuid: image, export_to: service.place, export_format: 'qcow2' }
  input = JSON.stringify(wanted)
  for (let count = 0; count < 3; count += 1) task = await service.client.export(image, service.place)
})
afterAll(() => service?.[Symbol.asyncDispose]())

/** Uses the service as it is, and then with the fault. */
async function breaksOnlyWith(fault: Fault): Promise<void> {
  await using sound = await proxy(service.url)
  await using faulty = await proxy(service.url, (answer, { url = '' }) =>
    fault.path.test(url) && (fault.status ?? 200) === answer.status ? fault.alter(answer) : answer
  )

  await fault.client(sound.url).catch((error: Error) => expect(error.message).not.toMatch(fault.breaks))
  await expect(fault.client(faulty.url)).rejects.toThrow(fault.breaks)
}

describeWithClient('glance', 'python-glanceclient relies on', () => {
  const glance = (url: string, ...args: string[]) =>
    printed(service.home, DEBIAN.glance.file, '--os-image-url', url, '--os-auth-token', TOKEN, ...args)
  const create = (url: string) => glance(url, 'task-create', '--type', 'export', '--input', input)
  const list = (url: string) => glance(url, 'task-list', '--page-size', '2')
  const show = (url: string) => glance(url, 'task-show', task)
  const showUnknown = (url: string) => glance(url, 'task-show', UNKNOWN)

  it.each<Fault>([
    {
      name: 'an error that stands in an object',
      client: showUnknown,
      path: SHOW,
      status: 404,
      alter: json(({ error }) => error),
      breaks: /has no attribute 'get'/
    },
    {
      name: 'a Content-Type of errors',
      client: showUnknown,
      path: SHOW,
      status: 404,
      alter: ({ headers: { 'content-type': _, ...headers }, ...answer }) => ({ ...answer, headers }),
      breaks: /content-type/i
    },
    {
      name: 'an absent next at the end',
      client: list,
      path: LIST,
      alter: json((body) => ({ next: null, ...body })),
      breaks: /NoneType|None/
    },
    {
      name: 'a next that is a path',
      client: list,
      path: LIST,
      alter: json((body) => (body.next ? { ...body, next: `http://127.0.0.1:9${body.next}` } : body)),
      breaks: /could not be found|Not Found/
    },
    {
      name: 'a message that is a text',
      client: show,
      path: SHOW,
      alter: json((body) => ({ ...body, message: null })),
      breaks: /None is not of type 'string'/
    },
    {
      name: 'an id that is a UUID',
      client: show,
      path: SHOW,
      alter: json((body) => ({ ...body, id: 'task-1' })),
      breaks: /does not match/
    },
    {
      name: 'the type export in the schema',
      client: create,
      path: SCHEMA,
      alter: json((body) => ({ ...body, properties: { ...(body.properties as Json), type: { enum: ['import'] } } })),
      breaks: /'export' is not one of|Unable to set 'type'/
    },
    {
      name: 'a schema without additionalProperties: false',
      client: create,
      path: SCHEMA,
      alter: json((body) => ({ ...body, additionalProperties: false })),
      breaks: /Additional properties are not allowed/
    }
  ])('$name', breaksOnlyWith)
})

describeWithClient('sdk', 'openstacksdk relies on', () => {
  let same: unknown
  const always = (next: unknown) => {
    same ??= next
    return same
  }
  const step = (name: string) => (url: string) => python(service.home, 'openstacksdk_step.py', url, TOKEN, name, task)

  it.each<Fault>([
    {
      name: 'a next that leads on',
      client: step('list'),
      path: LIST,
      alter: json((body) => ({ ...body, next: always(body.next) })),
      breaks: /Endless pagination loop detected/
    },
    {
      name: 'a schema without a boolean additionalProperties',
      client: step('schema'),
      path: SCHEMA,
      alter: json((body) => ({ ...body, additionalProperties: true })),
      breaks: /Traceback/
    },
    {
      name: 'versions at /',
      client: step('list'),
      path: /^\/$/,
      status: 300,
      alter: (answer) => ({ ...answer, status: 404, body: '' }),
      breaks: /Traceback/
    }
  ])('$name', breaksOnlyWith)
})
