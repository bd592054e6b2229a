import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  createExport,
  createExportClient,
  type ExportRequest,
  RequestRefused,
  TaskFailed,
  waitForTask
} from '../../../client/client.ts'
import { faultServer } from '../../support/fault-server.ts'
import { freshDatabase } from '../../support/postgres.ts'
import { putServer } from '../../support/put-server.ts'
import { Client, startProcess } from '../../support/service.ts'

const ROOT = join(import.meta.dirname, '../../..')
const CLIENT = join(ROOT, 'client')
const TOKEN = 'alice:demo:member'
const run = promisify(execFile)

it('is generated from the OpenAPI document as it is; if not: npm run client', async () => {
  const document = await readFile(join(ROOT, 'openapi/openapi.json'))
  const [header = ''] = (await readFile(join(CLIENT, 'schema.d.ts'), 'utf8')).split('\n')

  expect(header).toContain(createHash('sha256').update(document).digest('hex'))
})

it('has the openapi-fetch that the tests run with', async () => {
  const read = async (folder: string) => JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'))

  expect((await read(CLIENT)).dependencies['openapi-fetch']).toBe((await read(ROOT)).devDependencies['openapi-fetch'])
})

describe('against the running service', () => {
  let service: ReturnType<typeof startProcess>
  let place: Awaited<ReturnType<typeof putServer>>
  let url = ''
  let folder = ''
  let request: ExportRequest
  const cleanUp = new AsyncDisposableStack()
  beforeAll(async () => {
    const database = cleanUp.use(await freshDatabase())
    folder = await mkdtemp(join(tmpdir(), 'typed-client-'))
    cleanUp.defer(() => rm(folder, { recursive: true, force: true }))
    place = cleanUp.use(await putServer())
    service = startProcess('all', { DATABASE_URL: database.url, DATA_DIR: join(folder, 'data') })
    cleanUp.defer(() => service.stop().then(() => {}))
    url = String((await service.line('listening')).url)
    const image = await new Client(url, TOKEN).upload(Buffer.alloc(1 << 20, 'disk'), 'raw')
    const exportTo = `http://127.0.0.1:${place.port}/place`
    request = { task_type: 'export', image_uuid: image, export_to: exportTo, export_format: 'qcow2' }
  })
  afterAll(() => cleanUp.disposeAsync())

  it('exports an image and waits for the end', async () => {
    const client = createExportClient({ url, token: TOKEN })
    const created = await createExport(client, request)
    const seen: string[] = []

    const task = await waitForTask(client, created.id, { onProgress: ({ task_status }) => seen.push(task_status) })

    expect(seen.at(-1)).toBe('success')
    expect(place.objects.get(new URL(task.export_location ?? '').pathname)?.length).toBe(task.result?.bytes)
    const { data: page } = await client.GET('/v2/tasks', { params: { query: { limit: '1', status: 'success' } } })
    expect(page?.tasks.map(({ id }) => id)).toEqual([task.id])
  })

  it('says what a task failed of', async () => {
    const refusing = createServer((_request, response) => response.writeHead(403).end()).listen(0, '127.0.0.1')
    await once(refusing, 'listening')
    const { port } = refusing.address() as AddressInfo
    const client = createExportClient({ url, token: TOKEN })
    const created = await createExport(client, { ...request, export_to: `http://127.0.0.1:${port}/place` })

    const error = await waitForTask(client, created.id).catch((thrown: unknown) => thrown)

    expect(error).toBeInstanceOf(TaskFailed)
    expect(error).toMatchObject({ code: 'DEST_FORBIDDEN', actor: 'user', retriable: false, task: { id: created.id } })
    refusing.closeAllConnections()
    refusing.close()
  })

  it('is told of news by the service instead of asking all the time', async () => {
    const slow = createServer((sent, response) => {
      sent.resume().on('end', () => setTimeout(() => response.writeHead(201).end(), 500))
    }).listen(0, '127.0.0.1')
    await once(slow, 'listening')
    const { port } = slow.address() as AddressInfo
    const applied: (string | null)[] = []
    const watching = createExportClient({
      url,
      token: TOKEN,
      fetch: async (sent) => {
        const response = await fetch(sent)
        applied.push(response.headers.get('preference-applied'))
        return response
      }
    })
    const { id } = await createExport(watching, { ...request, export_to: `http://127.0.0.1:${port}/slow` })

    await waitForTask(watching, id)

    expect(applied).toContain('wait=30')
    slow.closeAllConnections()
    slow.close()
  })

  it('makes one task where the first answer was lost', async () => {
    await using faulty = await faultServer(Number(new URL(url).port))
    faulty.inject({ kind: 'lose answer' }, ({ method }) => method === 'POST')
    const client = createExportClient({ url: `http://127.0.0.1:${faulty.port}`, token: TOKEN })
    const { data: before } = await client.GET('/v2/tasks')

    const { id } = await createExport(client, request)

    const { data: after } = await client.GET('/v2/tasks')
    expect(faulty.seen.filter(({ method }) => method === 'POST')).toHaveLength(2)
    expect(after?.tasks.map((task) => task.id)).toEqual([id, ...(before?.tasks.map((task) => task.id) ?? [])])
  })

  it('says what is wrong with a request', async () => {
    const client = createExportClient({ url, token: TOKEN })
    const wrong = { ...request, export_format: 'floppy', colour: 'red' } as unknown as ExportRequest

    const error = await createExport(client, wrong).catch((thrown: unknown) => thrown)

    expect(error).toBeInstanceOf(RequestRefused)
    expect(error).toMatchObject({ status: 400, requestId: expect.stringMatching(/^req-/) })
    expect((error as RequestRefused).violations.map(({ pointer }) => pointer).sort()).toEqual([
      '/colour',
      '/export_format'
    ])
  })

  it('README: the program exports an image, packed as others would have it', async () => {
    const [, program = ''] = /```ts\n(.*?)```/s.exec(await readFile(join(CLIENT, 'README.md'), 'utf8')) ?? []
    const home = join(folder, 'program')
    await installPacked(join(home, 'node_modules'))
    await writeFile(join(home, 'package.json'), '{"type":"module"}')
    await writeFile(join(home, 'export.ts'), program)
    const settings = {
      target: 'es2022',
      module: 'nodenext',
      strict: true,
      noEmit: true,
      types: [],
      lib: ['es2023', 'dom']
    }
    await writeFile(
      join(home, 'process.d.ts'),
      'declare const process: { env: Record<string, string>, exitCode?: number }'
    )
    await writeFile(join(home, 'tsconfig.json'), JSON.stringify({ compilerOptions: settings }))
    const env = { PATH: process.env.PATH, SERVICE: url, TOKEN, IMAGE: request.image_uuid, PLACE: request.export_to }

    await run(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', home])
    const { stdout } = await run(process.execPath, [join(home, 'export.ts')], { env })

    expect(place.objects.has(new URL(stdout.trim()).pathname)).toBe(true)
  })
})

/** What `npm pack` would pack and `npm install` would unpack. */
async function installPacked(modules: string): Promise<void> {
  const home = join(modules, 'glance-export-client')
  await mkdir(home, { recursive: true })
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc')
  await run(process.execPath, [tsc, '-p', CLIENT, '--outDir', join(home, 'dist')])
  await cp(join(CLIENT, 'schema.d.ts'), join(home, 'dist/schema.d.ts'))
  await cp(join(CLIENT, 'package.json'), join(home, 'package.json'))
  for (const name of ['openapi-fetch', 'openapi-typescript-helpers'])
    await symlink(join(ROOT, 'node_modules', name), join(modules, name))
}
