import { randomUUID } from 'node:crypto'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Document, leastBody, type Operation, operationsOf } from '../support/openapi-fuzz.ts'
import { freshDatabase } from '../support/postgres.ts'
import { removeDataDir } from '../support/remove-data-dir.ts'
import { Client, startProcess } from '../support/service.ts'

/** Differ from one answer to the next without telling anything. */
const OWN_HEADERS = ['date', 'x-openstack-request-id', 'content-length']

/** Every operation that names a task or an image, whatever it is: the list is the document that the service serves. */
describe("another project's tasks and images", async () => {
  let folder: string
  const closing: (() => Promise<unknown>)[] = []
  let url: string
  let document: Document
  const ids = { task: '', image: '', expiredTask: '', file: '' }

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'e2e-tenancy-'))
    const database = await freshDatabase()
    closing.push(() => removeDataDir(folder), database.drop)
    const settings = { DATA_DIR: join(folder, 'data'), DATABASE_URL: database.url, API_DELETE_TASKS: 'true' }
    await using migration = startProcess('migrate', settings)
    await migration.exited
    const api = startProcess('http', settings)
    closing.push(() => api.stop())
    url = String((await api.line('listening')).url)
    document = (await (await fetch(`${url}/openapi.json`)).json()) as Document

    const alice = new Client(url, 'alice:demo:member')
    const bob = new Client(url, 'bob:other:member')
    ids.image = await alice.upload(Buffer.alloc(4096, 1), 'raw')
    ids.task = await alice.export(ids.image, 'https://example.com/place')
    const bobsImage = await bob.upload(Buffer.alloc(4096, 1), 'raw')
    ids.expiredTask = await bob.export(bobsImage, 'https://example.com/place')
    const client = new pg.Client({ connectionString: database.url })
    await client.connect()
    await client.query(
      `update tasks set status = 'failure', message = 'm', failure = '{}', expires_at = now() - interval '1 second',
              credentials_key_id = null where id = $1`,
      [ids.expiredTask]
    )
    await client.end()
  })
  afterAll(async () => {
    for (const close of closing.reverse()) await close()
  })

  /** What Bob gets: status, headers and body, in which the id he named stands as `<id>`. */
  async function answerTo(operation: Operation, id: string) {
    const path = operation.path.replace(/\{(?:taskId|imageId)\}/, id).replace('{fileName}', 'disk.raw')
    const known = { image_uuid: [id], image_id: [id], export_to: ['https://example.com/p'], path: ['/name'] }
    const least = leastBody(operation, document, known)
    const raw = operation.operationId === 'uploadImageData'
    const type = raw ? 'application/octet-stream' : (operation.bodyType ?? 'application/json')
    const body = raw ? 'bytes' : least === undefined ? undefined : JSON.stringify(least)
    const response = await fetch(url + path, {
      method: operation.method,
      headers: { 'x-auth-token': 'bob:other:member', ...(body !== undefined && { 'content-type': type }) },
      ...(body !== undefined && { body })
    })
    const headers = [...response.headers].filter(([name]) => !OWN_HEADERS.includes(name))
    return { status: response.status, headers, body: (await response.text()).replaceAll(id, '<id>') }
  }

  const nameTask = ({ path }: Operation) => path.includes('{taskId}')
  const nameImage = ({ path, operationId }: Operation) =>
    path.includes('{imageId}') || ['createTask', 'preflightTask'].includes(operationId)

  it('are, to every operation, what never was', async () => {
    const operations = operationsOf(document)
    const told: string[] = []
    for (const operation of operations.filter((one) => nameTask(one) || nameImage(one))) {
      const foreign = await answerTo(operation, nameTask(operation) ? ids.task : ids.image)
      const missing = await answerTo(operation, randomUUID())
      const expired = nameTask(operation) ? await answerTo(operation, ids.expiredTask) : missing

      expect({ operation: operation.operationId, ...foreign }).toEqual({ operation: operation.operationId, ...missing })
      expect({ operation: operation.operationId, ...expired }).toEqual({ operation: operation.operationId, ...missing })
      // Files have signatures instead of tokens: without one there is nothing to be found out either.
      if (!operation.open)
        expect({ operation: operation.operationId, status: missing.status }).toMatchObject({ status: 404 })
      told.push(operation.operationId)
    }

    expect(told).toEqual(expect.arrayContaining(['showTask', 'cancelTask', 'retryTask', 'updateTask', 'deleteTask']))
    expect(told).toEqual(
      expect.arrayContaining(['showImage', 'deleteImage', 'exportImage', 'createTask', 'uploadImageData'])
    )
  })

  it('are in no list', async () => {
    const bob = new Client(url, 'bob:other:member')
    for (const path of ['/v2/tasks', '/v2/images', '/v2/tasks?owner=demo', '/v2/images?owner=demo']) {
      const { status, body } = await bob.call('GET', path)

      expect(status).toBe(200)
      expect(JSON.stringify(body)).not.toMatch(new RegExp(`${ids.task}|${ids.image}|${ids.expiredTask}`))
    }
  })

  it('are still as they were afterwards', async () => {
    const alice = new Client(url, 'alice:demo:member')

    expect((await alice.call('GET', `/v2/tasks/${ids.task}`)).body).toMatchObject({ task_status: 'queued', tags: [] })
    expect((await alice.call('GET', `/v2/images/${ids.image}`)).body).toMatchObject({ status: 'active', size: 4096 })
  })

  it('are not to be had with identity headers from outside', async () => {
    const forged = {
      'x-identity-status': 'Confirmed',
      'x-project-id': 'demo',
      'x-tenant-id': 'demo',
      'x-user-id': 'alice',
      'x-roles': 'admin',
      'x-is-admin-project': 'true'
    }
    const bob = new Client(url, 'bob:other:member')

    expect((await bob.call('GET', `/v2/tasks/${ids.task}`, undefined, forged)).status).toBe(404)
    expect((await fetch(`${url}/v2/tasks/${ids.task}`, { headers: forged })).status).toBe(401)
  })
})
