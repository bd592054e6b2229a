import { execFile } from 'node:child_process'
import { mkdtemp, readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { diskReaders } from '../../src/disks/registry.ts'
import { GiB } from '../../src/domain/bytes.ts'
import { freshDatabase } from '../support/postgres.ts'
import { putServer } from '../support/put-server.ts'
import { removeDataDir } from '../support/remove-data-dir.ts'
import { Client, type ServiceProcess, startProcess } from '../support/service.ts'

const FIXTURES = join(import.meta.dirname, '../fixtures/images')
const readers = diskReaders()
const rows = (await readFile(join(FIXTURES, 'EXPECTED.tsv'), 'utf8'))
  .split('\n')
  .filter((line) => line !== '' && !line.startsWith('#'))
  .map((line) => line.split('\t'))
  .map(([name = '', declared = '', verdict = '', stage = '']) => ({ name, declared, verdict, stage }))

let folder: string
let service: ServiceProcess
let place: Awaited<ReturnType<typeof putServer>>
const closing: (() => Promise<unknown>)[] = []

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hostile-'))
  const database = await freshDatabase()
  place = await putServer()
  closing.push(
    () => removeDataDir(folder),
    database.drop,
    () => place[Symbol.asyncDispose]()
  )
  await promisify(execFile)('tar', ['--sparse', '-xJf', join(FIXTURES, 'images.tar.xz'), '-C', folder])
  const env = { DATABASE_URL: database.url, DATA_DIR: join(folder, 'data'), MAX_VIRTUAL_BYTES: String(16 * GiB) }
  service = startProcess('all', { ...env, TASK_ATTEMPTS: '1' })
  closing.push(() => service.stop())
  await service.line('listening')
})
afterAll(async () => {
  for (const close of closing.reverse()) await close()
})

it(`gives every image of the hostile set that has a reader its verdict (${rows.length} rows)`, async () => {
  const client = new Client(String((await service.line('listening')).url))
  const wrong: unknown[] = []
  let judged = 0
  // The `source` rows are whole files that were longer once: what is stored is compared with what was uploaded.
  for (const { name, declared, verdict } of rows.filter(({ stage }) => !stage.startsWith('source'))) {
    if (!readers.has(declared)) continue
    judged++
    const bytes = await readFile(join(folder, name))
    const outcome = await verdictOf(client, bytes, declared)
    if (outcome.verdict !== verdict) wrong.push({ name, declared, verdict, outcome })
  }
  expect(wrong).toEqual([])
  expect(judged).toBeGreaterThan(70)
  expect(service.log.filter(({ level }) => Number(level) >= 50)).toEqual([])
  expect((await client.call('GET', '/readyz')).status).toBe(200)
}, 300_000)

/** Accepted only when it was stored and exported as the bare disk. */
async function verdictOf(client: Client, bytes: Buffer, declared: string) {
  const image = { name: 'hostile', disk_format: declared, container_format: 'bare' }
  const { body } = await client.call('POST', '/v2/images', image)
  const data = { 'content-type': 'application/octet-stream' }
  const uploaded = await client.call('PUT', `/v2/images/${body.id}/file`, bytes, data)
  if (uploaded.status >= 500) return { verdict: 'crash', why: uploaded.body }
  if (uploaded.status !== 204) return { verdict: 'reject', why: uploaded.body }
  const exportTo = `http://127.0.0.1:${place.port}/place`
  const task = await client.ended(await client.export(String(body.id), exportTo, { export_format: 'raw' }))
  place.objects.clear()
  if (task.task_status === 'success') return { verdict: 'accept', why: '' }
  return { verdict: task.message === '' ? 'silent' : 'reject', why: task.message }
}
