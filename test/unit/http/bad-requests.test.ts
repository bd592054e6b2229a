import { readFileSync } from 'node:fs'
import { type AddressInfo, connect } from 'node:net'
import type { InjectOptions, LightMyRequestResponse } from 'fastify'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { imageId, ownerId, taskId } from '../../../src/domain/ids.ts'
import { appOver, MemoryService } from './memory-service.ts'
import { oneTempUrl } from './memory-temp-urls.ts'

/** One hostile request; `expect` are the statuses that are right. `body_gen` is `pre`, `n` times `rep`, `post`. */
type Row = {
  id: string
  method: string
  path: string
  headers: Record<string, string>
  expect: (number | string)[]
  why: string
  body?: string | null
  raw?: string
  body_gen?: { pre: string; rep: string; n: number; post: string }
}

const ROWS = readFileSync(new URL('../../fixtures/bad_requests.jsonl', import.meta.url), 'utf8')
  .split('\n')
  .filter((line) => line !== '')
  .map((line) => JSON.parse(line) as Row)

/** Rows about what is not here, or where Glance's contract says otherwise. */
const SKIPPED: [RegExp, string][] = [
  [
    /^ct-/,
    'Glance reads JSON under any Content-Type, and its clients rely on it; tokens are never sent by a browser itself'
  ]
]
const skipReason = ({ id }: Row): string | undefined => SKIPPED.find(([pattern]) => pattern.test(id))?.[1]

const TASK_A = '0a000000-0000-4000-8000-00000000000a'
const VALUES: Record<string, string> = {
  T_A: 'alice:demo:member',
  T_B: 'bob:other:member',
  T_READER: 'rita:demo:reader',
  T_NOROLE: 'nora:demo:nobody',
  T_EXPIRED: 'expired',
  T_UNSCOPED: 'alice:none:member',
  PROJECT_B: 'other',
  TASK_A,
  TASK_A_UPPER: TASK_A.toUpperCase(),
  TASK_B: '0b000000-0000-4000-8000-00000000000b',
  TASK_DONE: '0d000000-0000-4000-8000-00000000000d',
  IMG: 'deadbeef-dead-dead-dead-beefbeefbeef',
  IMG_B: 'b0000000-0000-4000-8000-00000000000b',
  IMG_DELETED: 'de000000-0000-4000-8000-00000000000d',
  IMG_DEACT: 'dac00000-0000-4000-8000-00000000000d'
}
const tempUrls = await oneTempUrl(VALUES.TASK_DONE ?? '')
const value = (name: string): string => VALUES[name] ?? tempUrls.values[name] ?? name

const CREDENTIALS = '{"access_key": "AKIAEXAMPLE", "secret_key": "s3cr3t-CANARY-1"}'
const S3 = '{"kind": "s3_static", "access_key_id": "AKIAEXAMPLE", "secret_access_key": "s3cr3t-CANARY-1"}'
const BEARER = '{"kind": "bearer", "token": "s3cr3t-CANARY-1"}'

/**
 * The rows' credentials are of nobody's kind: with one of ours, what is wrong with a row is what it says. Rows about
 * `export_to` write `s3://host/bucket`; here the host of such a URL is the bucket, so rows about buckets are asked without that
 * host, and the others of https.
 */
function fill(text: string, host: string, { id }: Row): string {
  const ours = /^to-(?:no)?bucket/.test(id)
    ? text.replaceAll(CREDENTIALS, S3).replaceAll('s3://s3.example.test/', 's3://')
    : id.startsWith('to-')
      ? text.replaceAll(CREDENTIALS, BEARER).replaceAll('"export_to": "s3://', '"export_to": "https://')
      : text.replaceAll(CREDENTIALS, S3)
  return ours.replaceAll('{{HOST}}', host).replaceAll(/\{\{(\w+)\}\}/g, (_all, name: string) => value(name))
}

function populated(): MemoryService {
  const service = new MemoryService()
  service.addImage({ id: imageId(value('IMG')), status: 'active' })
  service.addImage({ id: imageId(value('IMG_B')), status: 'active', owner: ownerId('other') })
  service.addImage({ id: imageId(value('IMG_DEACT')), status: 'killed' })
  service.addTask({ id: taskId(TASK_A) })
  service.addTask({ id: taskId(value('TASK_B')), owner: ownerId('other') })
  service.addTask({ id: taskId(value('TASK_DONE')), status: 'success' })
  return service
}

const app = appOver(populated(), { tempUrls })
let port = 0
beforeAll(async () => {
  app.server.headersTimeout = 100 // instead of ten seconds
  await app.listen({ host: '127.0.0.1', port: 0 })
  port = (app.server.address() as AddressInfo).port
})
afterAll(async () => {
  await app.close()
  await tempUrls[Symbol.asyncDispose]()
})

/** The status of the answer to bytes sent as they are, or `close` where there was none. */
async function sendRaw(text: string): Promise<number | 'close'> {
  const socket = connect(port, '127.0.0.1')
  // A head that is never finished comes from somebody who stays.
  if (text.includes('\r\n\r\n') || text.includes('\n\n')) socket.end(text)
  else socket.write(text)
  const chunks: Buffer[] = []
  for await (const chunk of socket) chunks.push(chunk)
  const status = /^HTTP\/1\.1 (\d+)/.exec(Buffer.concat(chunks).toString())?.[1]
  return status === undefined ? 'close' : Number(status)
}

function bodyOf({ body, body_gen: made }: Row): string | undefined {
  if (made) return made.pre + made.rep.repeat(made.n) + made.post
  return body ?? undefined
}

/** What goes over a socket as it is: app.inject has neither a parser of bytes nor limits of headers. */
function rawOf({ id, method, path, headers, raw }: Row): string | undefined {
  const head = Object.entries(headers).map(([name, text]) => `${name}: ${text}\r\n`)
  // 401 comes before 405, and its bytes have no token.
  if (id === 'meth-trace') return raw?.replace('\r\n\r\n', `\r\n${head.join('')}\r\n`)
  if (raw !== undefined || head.join('').length < 16_384) return raw
  return `${method} ${path} HTTP/1.1\r\nHost: {{HOST}}\r\n${head.join('')}\r\n`
}

/** Rows that a single request does not tell: these have tests of their own below. */
const SEQUENCES = ['idem-other-tenant', 'rate-burst']

describe('hostile requests', () => {
  const run = ROWS.filter((row) => !skipReason(row) && !SEQUENCES.includes(row.id))

  test.for(run)('$id: $why', async (row) => {
    const raw = rawOf(row)
    if (raw !== undefined) {
      expect(row.expect).toContain(await sendRaw(fill(raw, `127.0.0.1:${port}`, row)))
      return
    }
    const payload = bodyOf(row)
    const headers = Object.entries(row.headers).map(([name, text]) => [name, fill(text, 'localhost', row)])
    const answer = await app.inject({
      method: row.method as NonNullable<InjectOptions['method']>,
      url: fill(row.path, 'localhost', row),
      headers: Object.fromEntries(headers),
      ...(payload !== undefined && { payload: fill(payload, 'localhost', row) })
    })

    expect(row.expect).toContain(answer.statusCode)
    expect(answer.statusCode).toBeLessThan(500)
    expect(answer.body).not.toContain('CANARY')
    if (answer.statusCode >= 400 && row.method !== 'HEAD')
      expect(answer.json().error).toMatchObject({ code: answer.statusCode })
  })

  for (const [pattern, reason] of SKIPPED) {
    const rows = ROWS.filter(({ id }) => pattern.test(id))
    process.stdout.write(`skipped: ${rows.length} rows of bad_requests.jsonl: ${reason}\n`)
  }
})

describe('hostile sequences', () => {
  const requestOf = (row: Row) => ({
    method: 'POST' as const,
    url: row.path,
    headers: Object.fromEntries(
      Object.entries(row.headers).map(([name, text]) => [name, fill(text, 'localhost', row)])
    ),
    payload: fill(row.body ?? '', 'localhost', row)
  })
  const rowOf = (id: string): Row => {
    const row = ROWS.find((one) => one.id === id)
    if (!row) throw new Error(`no row ${id}`)
    return row
  }

  test('idem-other-tenant: the key of another project gives nothing away', async () => {
    const app = appOver(populated())
    const theirs = requestOf(rowOf('idem-other-tenant'))
    const ours = { ...theirs, headers: { ...theirs.headers, 'X-Auth-Token': value('T_A') } }

    const first = await app.inject(ours)
    const again = await app.inject(ours)
    const foreign = await app.inject(theirs)

    expect([first.statusCode, again.statusCode, again.json().id]).toEqual([201, 201, first.json().id])
    expect(rowOf('idem-other-tenant').expect).toContain(foreign.statusCode)
    expect(foreign.body).not.toContain(first.json().id)
    expect(foreign.headers).not.toHaveProperty('idempotent-replayed')
  })

  test('rate-burst: too many creates are 429 with Retry-After, and reading goes on', async () => {
    const app = appOver(populated(), {
      rateLimits: { readsPerProject: 10, writesPerProject: 200, refusedPerAddress: 0 }
    })
    const burst: LightMyRequestResponse[] = []
    for (let count = 0; count < 201; count++) burst.push(await app.inject(requestOf(rowOf('rate-burst'))))
    const refused = burst.filter(({ statusCode }) => statusCode === 429)
    const read = await app.inject({ url: '/v2/tasks', headers: { 'x-auth-token': value('T_A') } })

    expect(refused).toEqual(burst.slice(200))
    expect(Number(refused[0]?.headers['retry-after'])).toBeGreaterThan(0)
    expect(refused[0]?.json().error).toMatchObject({ code: 429, title: 'Too Many Requests' })
    expect(read.statusCode).toBe(200)
  })
})
