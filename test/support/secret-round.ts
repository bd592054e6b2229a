import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { Canaries, type Leak } from './canaries.ts'
import { dumpPostgres, dumpRedis, filesBelow } from './dumps.ts'
import { echoCloud, type Trouble } from './echo-cloud.ts'
import { type SeenProcess, watchFamily } from './process-family.ts'
import { freshRedisDatabase } from './redis.ts'
import { removeDataDir } from './remove-data-dir.ts'
import { SECRET_SAMPLES, type SecretSample, type Whereto } from './secret-samples.ts'
import { type Answer, Client, type Json, startProcess } from './service.ts'

/** What was found in one place: secrets, which must not be there, and how often words that were put there to be found. */
type Found = { readonly leaks: Leak[]; controls: number }

export type Round = {
  readonly places: Readonly<Record<string, Found>>
  readonly exports: readonly { readonly kind: string; readonly task: Json }[]
  /** Statuses of requests that should have been refused. */
  readonly refusals: readonly number[]
  readonly processes: readonly SeenProcess[]
  /** Rows with sealed credentials in the dumps of the database. */
  readonly sealedRows: number
}

const TROUBLES: readonly Trouble[] = [401, 500, 'reset', 403, 'garbage']
/** More requests than an export of one small file makes. */
const NEVER = 1000

/**
 * Runs the service with credentials that are canaries, of every kind: exports that succeed, exports that fail at their first,
 * second, third... request with the secrets in the answer, and requests that are refused. Looks for the canaries everywhere.
 */
export async function secretRound(queueOn: 'PostgreSQL' | 'Redis', peers: Whereto['peers']): Promise<Round> {
  await using stack = new AsyncDisposableStack()
  const canaries = new Canaries()
  const control = new Canaries()
  const places: Record<string, Found> = {}
  const look = (place: string, text: string | Buffer) => {
    places[place] ??= { leaks: [], controls: 0 }
    places[place].leaks.push(...canaries.in(text))
    places[place].controls += control.in(text).length
  }

  const folder = await mkdtemp(join(tmpdir(), 'secrets-'))
  stack.defer(() => removeDataDir(folder))
  const dataDir = join(folder, control.word())
  const redisUrl = queueOn === 'Redis' ? freshRedisDatabase() : undefined
  const service = startProcess('all', {
    DATA_DIR: dataDir,
    LOG_LEVEL: 'trace',
    TASK_ATTEMPTS: '1',
    WORKER_CONCURRENCY: '8',
    DESTINATION_SILENCE_SECONDS: '10',
    SCRUB_APPLIANCE: 'false',
    CONTROL: control.word(),
    ...(redisUrl && { REDIS_URL: redisUrl })
  })
  stack.defer(async () => void (await service.stop()))
  const client = new WatchedClient(String((await service.line('listening')).url), (text) => look('answers', text))
  const watch = watchFamily(service.child.pid ?? 0)
  stack.defer(async () => void (await watch.stop()))

  if (redisUrl) await putControl(redisUrl, control.word())
  const image = await client.upload(new Uint8Array(1024 * 1024).fill(7), 'raw')
  const rename = [{ op: 'replace', path: '/name', value: control.word() }]
  const patch = { 'content-type': 'application/openstack-images-v2.1-json-patch' }
  await client.call('PATCH', `/v2/images/${image}`, rename, patch)
  await client.call('GET', `/v2/images/${control.word()}`)

  let sealedRows = 0
  const dump = async () => {
    const text = await dumpPostgres(embeddedUrl(watch.seen()))
    sealedRows += text.match(/,k1,/g)?.length ?? 0
    look('database', text)
    if (redisUrl) look('Redis', await dumpRedis(redisUrl))
  }

  const exports: Round['exports'][number][] = []
  // Where the jobs lie is all that differs with Redis: a few ways are enough there.
  const troubles = redisUrl ? 2 : 12
  const running = Promise.all(
    samplesOfAll().map(async ([kind, index]) => {
      const sampleFor = (to: Cloud) => samplesOf(kind, canaries, { ...to, peers })[index]
      for await (const task of everyWay(client, image, canaries, troubles, sampleFor)) exports.push({ kind, task })
    })
  )
  // Tasks that wait and run hold their credentials: the dumps have to be made meanwhile.
  let over = false
  const dumping = (async () => {
    for (; !over; await sleep(200)) await dump()
  })()
  await running.finally(() => {
    over = true
  })
  await dumping
  await dump()

  const refusals: number[] = []
  for (const [body, headers] of hostileRequests(image, canaries))
    refusals.push((await client.call('POST', '/v2/tasks', body, headers)).status)
  for (const path of ['/v2/tasks?limit=100', '/v2/schemas/task', '/openapi.json', `/v2/images/${image}`])
    await client.call('GET', path)

  const processes = await watch.stop()
  await service.stop()
  look('log', JSON.stringify(service.log))
  look('log', service.stderr())
  for (const seen of processes) {
    look('command lines', seen.commandLine)
    look('environments', seen.environment)
  }
  for await (const { path, bytes } of filesBelow(folder)) {
    look('files', path)
    look('files', bytes)
  }
  return { places, exports, refusals, processes, sealedRows }
}

/** The kinds of credentials, each with the numbers of its samples. */
const samplesOfAll = (): (readonly [kind: string, index: number])[] =>
  Object.keys(SECRET_SAMPLES).flatMap((kind) =>
    samplesOf(kind, new Canaries(), NOWHERE).map((_, index) => [kind, index] as const)
  )
const samplesOf = (kind: string, canaries: Canaries, to: Whereto) => SECRET_SAMPLES[kind]?.(canaries, to) ?? []
const NOWHERE: Whereto = { url: 'http://h:1', host: 'h:1', peers: {} }

type Cloud = Pick<Whereto, 'url' | 'host'>

/** Exports one sample to a cloud without trouble, then to clouds with trouble from their first, second... request on. */
async function* everyWay(
  client: Client,
  image: string,
  canaries: Canaries,
  most: number,
  sampleFor: (to: Cloud) => SecretSample | undefined
): AsyncGenerator<Json> {
  for (let from = NEVER, last = NEVER; from <= last; from = from === NEVER ? 1 : from + 1) {
    const trouble = TROUBLES[from % TROUBLES.length] ?? 500
    await using cloud = await echoCloud({ word: () => canaries.word(), from, trouble })
    const { exportTo, credentials } = sampleFor(cloud) ?? {}
    const what = { task_type: 'export', image_uuid: image, export_format: 'raw' }
    const scrub = { profile: 'custom', on_unrecognized_os: 'skip', disk_key: canaries.word() }
    const keyed = from % 2 === 0 && { scrub }
    const body = { ...what, export_to: exportTo, export_to_credentials: credentials, ...keyed }
    const created = await client.call('POST', '/v2/tasks', body)
    yield created.status === 201
      ? await client.ended(String(created.body.id))
      : { ...created.body, task_status: 'refused' }
    if (from === NEVER) last = Math.min(cloud.asked(), most)
    cloud.forget()
    await client.call('POST', '/v2/tasks/preflight', body)
  }
}

/** A client that shows every answer, headers and all, to whoever looks for something. */
class WatchedClient extends Client {
  readonly #look: (text: string) => void

  constructor(url: string, look: (text: string) => void) {
    super(url)
    this.#look = look
  }

  override async call(...request: Parameters<Client['call']>): Promise<Answer> {
    const answer = await super.call(...request)
    this.#look(JSON.stringify([...answer.headers, answer.body]))
    return answer
  }
}

/** Bodies that no export can be made of, with secrets at places where none belong. */
function hostileRequests(image: string, canaries: Canaries): [unknown, Record<string, string>][] {
  const word = () => canaries.word()
  const base = { task_type: 'export', image_uuid: image, export_format: 'raw', export_to: 'https://example.com/place' }
  const credentials = (value: unknown) => ({ ...base, export_to_credentials: value })
  const bodies = [
    credentials({ kind: word() }),
    credentials({ kind: 'basic', username: word(), password: { nested: word() } }),
    credentials({ kind: 'basic', username: word(), password: word(), pasword: word() }),
    credentials({ kind: 'basic', username: `${word()}:`, password: word() }),
    credentials({ kind: 'bearer', token: `${word()}\n` }),
    credentials({ kind: 'bearer', token: word().repeat(1000) }),
    credentials(word()),
    credentials([word()]),
    { ...base, export_to: `https://user:${word()}@example.com/place` },
    { ...credentials({ kind: 'bearer', token: word() }), export_to: `https://example.com/place?signature=${word()}` },
    { ...base, export_to: `https://example.com/place#${word()}` },
    { ...base, export_to: `s3://${word()}@bucket/key` },
    { ...base, scrub: { profile: 'generalize', disk_key: `${word()}\n` } },
    { ...base, scrub: { profile: 'generalize', disk_key: word().repeat(30) } },
    { ...base, scrub: { profile: 'generalize', disk_key: { passphrase: word() } } },
    { ...base, scrub: { profile: 'metadata', disk_key: word() } },
    { ...base, disk_key: word() },
    { ...base, export_to_credential: { kind: 'bearer', token: word() } }
  ]
  const json = { 'content-type': 'application/json' }
  const broken = Buffer.from(`{"export_to_credentials": {"kind": "bearer", "token": "${word()}", }`)
  return [...bodies.map((body): [unknown, Record<string, string>] => [body, {}]), [broken, json]]
}

async function putControl(url: string, word: string): Promise<void> {
  const redis = new Redis(url)
  await redis.set('control', word)
  redis.disconnect()
}

/** The embedded PostgreSQL says in its command line where its socket is. */
function embeddedUrl(seen: readonly SeenProcess[]): string {
  const [, socket] = seen.flatMap(({ commandLine }) => /\0-k\0([^\0]+)\0/.exec(commandLine) ?? [])
  return `postgres://glance_export@/glance_export?host=${encodeURIComponent(socket ?? '')}&port=5432`
}
