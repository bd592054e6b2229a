import { execFile } from 'node:child_process'
import { access, mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { settingsSchema } from '../../src/settings.ts'
import { migratedDatabase } from '../support/database.ts'
import { freshDatabase } from '../support/postgres.ts'
import { putServer } from '../support/put-server.ts'
import { removeDataDir } from '../support/remove-data-dir.ts'
import { Client, startProcess } from '../support/service.ts'

const textOf = (name: string) => readFile(join(import.meta.dirname, '../..', name), 'utf8')
const blocksOf = (text: string, language: string) =>
  [...text.matchAll(new RegExp(`\`\`\`${language}\\n(.*?)\`\`\``, 'gs'))].map(([, block = '']) => block)
const readme = await textOf('README.md')
const requests = await textOf('docs/requests.md')
const operations = await textOf('docs/operations.md')
const [start = '', ...commands] = blocksOf(`${readme}${requests}`, 'sh')
const run = promisify(execFile)

async function scratchFolder() {
  const path = await mkdtemp(join(tmpdir(), 'readme-'))
  return { path, [Symbol.asyncDispose]: () => removeDataDir(path) }
}

it('README and docs/requests.md: every command does what the text says', async () => {
  await using scratch = await scratchFolder()
  const folder = scratch.path
  await using database = await freshDatabase()
  await using place = await putServer()
  const settings = Object.fromEntries(
    [...start.matchAll(/([A-Z_]+)=(\S+)/g)].map(([, name = '', value = '']) => [name, value])
  )
  expect(settings).toEqual({ ALLOWED_NETWORKS: '127.0.0.0/8' })
  await using service = startProcess('all', { ...settings, DATABASE_URL: database.url, DATA_DIR: join(folder, 'data') })
  const url = String((await service.line('listening')).url)
  await writeFile(join(folder, 'disk.raw'), Buffer.alloc(1 << 20, 'glance-export'))
  const env: Record<string, string | undefined> = {
    PATH: process.env.PATH,
    PLACE: `http://127.0.0.1:${place.port}/place`
  }
  const shell = async (command: string) => {
    const { stdout } = await run('bash', ['--norc', '-euc', command.replaceAll('http://127.0.0.1:9292', url)], {
      env,
      cwd: folder
    })
    return stdout === '' ? {} : JSON.parse(stdout)
  }

  expect(commands).toHaveLength(7)
  const [images = '', create = '', show = '', remove = '', preflight = '', options = '', patch = ''] = commands
  const [makeImage = '', upload = ''] = images.split('\n\n')
  env.IMAGE = (await shell(makeImage)).id
  await shell(upload)
  env.TASK = (await shell(create)).id
  const task = await new Client(url).ended(String(env.TASK))
  expect(await shell(show)).toMatchObject({
    id: env.TASK,
    task_status: 'success',
    export_location: task.export_location
  })
  expect(place.seen.find(({ method }) => method === 'PUT')?.headers.authorization).toMatch(/^Basic /)

  expect(await shell(preflight)).toMatchObject({
    ok: true,
    checks: expect.any(Array),
    estimate: { bytes_min: expect.any(Number) }
  })
  const written = await new Client(url).ended(String((await shell(options)).id))
  const named = new RegExp(`^${env.PLACE}/\\d{4}-\\d\\d-\\d\\d/web-01\\.vmdk$`)
  expect(written).toMatchObject({
    task_status: 'success',
    warnings: [],
    export_location: expect.stringMatching(named),
    result: { verify: { level: 'full', ok: true } }
  })
  const path = new URL(String(written.export_location)).pathname
  for (const ending of ['', '.sha256', '.manifest.json']) expect(place.objects.has(path + ending)).toBe(true)

  expect(await shell(patch)).toMatchObject({ id: env.TASK, tags: ['nightly'], task_status: 'success' })

  expect(await shell(remove)).toEqual({})
})

it('docs/operations.md: the table of settings is the list of settings', () => {
  const rows = [...operations.matchAll(/^\| `([A-Z_]+)` \| (?:`(.*?)`)? *\| (.+) \|$/gm)].map(([, ...cells]) => cells)
  const properties: Record<string, { default?: unknown; description: string }> = JSON.parse(
    JSON.stringify(settingsSchema.properties)
  )
  const expected = Object.entries(properties).map(([name, { default: value, description }]) => {
    return [name, value === undefined || value === '' ? undefined : String(value), description]
  })
  expect(rows).toEqual(expected)
})

it('docs/operations.md: every question to the database has an answer', async () => {
  const { pool, close } = await migratedDatabase()
  const questions = blocksOf(operations, 'sql').flatMap((block) => block.split('\n\n'))
  try {
    expect(questions).toHaveLength(4)
    for (const question of questions) expect((await pool.query(question)).rows).toBeInstanceOf(Array)
  } finally {
    await close()
  }
})

it.each([
  ['README.md', readme],
  ['docs/requests.md', requests],
  ['docs/operations.md', operations]
])('%s: what it links to is there', async (name, text) => {
  const links = [...text.matchAll(/\]\((?!https?:)([^)#]+)/g)].map(([, path = '']) => path)

  expect(links.length).toBeGreaterThan(0)
  for (const link of links) await access(join(import.meta.dirname, '../..', dirname(name), link))
})
