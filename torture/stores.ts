import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Fault, faultServer, type Match } from '../test/support/fault-server.ts'
import { putServer } from '../test/support/put-server.ts'
import { s3Server } from '../test/support/s3-server.ts'
import type { Random } from './random.ts'

export const BUCKET = 'backup'
export const KEY_ID = 'AKIATORTURE'
/** Looked for in every log afterwards. */
export const SECRET_KEY = 'torture-secret-key-that-nobody-may-see'

/** A way to a store, and what it does to requests. */
type Way = { readonly port: number; inject(fault: Fault, match: Match, times: number): void; calm(): void }

/**
 * The places that exports go to, in this process. `s3` and `http` are sound but for the storms that are sent over them; `flaky`
 * leads to the same S3 and fails all the time, in the way that a busy store does.
 */
export type Stores = {
  readonly s3: Way
  readonly flaky: Way
  readonly http: Way
  readonly fileRoot: string
  /** The bytes that stand at an object's URL. */
  read(objectUrl: URL, owner: string): Promise<Buffer | undefined>
  /** Has each of these files in memory once only, however many objects are equal to it. */
  keepOnce(files: readonly Buffer[]): void
  /** Places of everything that stands in the stores, uploads and part files included. */
  everything(): Promise<{ readonly objects: readonly string[]; readonly unfinished: readonly string[] }>
  /** Bytes of parts that S3 has taken for an object. */
  taken(objectUrl: URL): number
  [Symbol.asyncDispose](): Promise<void>
}

const FLAKINESS = 0.04

export async function openStores(fileRoot: string, random: Random): Promise<Stores> {
  await using opened = new AsyncDisposableStack()
  const s3 = opened.use(await s3Server({ buckets: [BUCKET], keys: { [KEY_ID]: undefined } }))
  const put = opened.use(await putServer())
  const [steady, flaky, http] = [
    opened.use(await faultServer(s3.port)),
    opened.use(await faultServer(s3.port)),
    opened.use(await faultServer(put.port))
  ]
  const unlucky = () => random.chance(FLAKINESS)
  flaky.inject({ kind: 'answer', status: 503 }, unlucky, Number.POSITIVE_INFINITY)
  flaky.inject({ kind: 'reset', afterBytes: 100_000 }, unlucky, Number.POSITIVE_INFINITY)
  flaky.inject({ kind: 'lose answer' }, unlucky, Number.POSITIVE_INFINITY)
  const parts = opened.move()

  const files = async () =>
    (await readdir(fileRoot, { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(fileRoot.length))
  const fileOf = (url: URL, owner: string) => readFile(join(fileRoot, owner, url.pathname)).catch(() => undefined)

  return {
    s3: steady,
    flaky,
    http,
    fileRoot,
    async read(url, owner) {
      if (url.protocol === 's3:') return s3.objects.get(placeOf(url))?.body
      if (url.protocol === 'http:') return put.objects.get(url.pathname)
      return fileOf(url, owner)
    },
    keepOnce(files) {
      const same = (bytes: Buffer) => files.find((file) => file === bytes) ?? files.find((file) => file.equals(bytes))
      for (const [place, object] of s3.objects) {
        s3.objects.set(place, { ...object, body: same(object.body) ?? object.body })
      }
      for (const [path, bytes] of put.objects) put.objects.set(path, same(bytes) ?? bytes)
    },
    async everything() {
      const written = await files()
      const partial = (path: string) => /\.part(?:ial)?(?:-|$)/.test(path)
      return {
        objects: [
          ...[...s3.objects.keys()].map((place) => `s3:/${place}`),
          ...[...put.objects.keys()].map((path) => `http:/${path}`),
          ...written.filter((path) => !partial(path)).map((path) => `file:/${path}`)
        ],
        unfinished: [
          ...[...s3.uploads.values()].map(({ place }) => `s3:/${place}`),
          ...written.filter(partial).map((path) => `file:/${path}`)
        ]
      }
    },
    taken: (url) => s3.taken.get(placeOf(url)) ?? 0,
    [Symbol.asyncDispose]: () => parts.disposeAsync()
  }
}

/** What the path-style URL of an S3 object names. */
const placeOf = ({ host, pathname }: URL): string => `/${host}${pathname}`

/** Requests that carry or finish an upload. */
const moves: Match = ({ method, url }) => method === 'PUT' || (method === 'POST' && url.includes('uploadId='))
const completes: Match = ({ method, url }) => method === 'POST' && url.includes('uploadId=')

/** Ways in which a destination fails for a while. */
export const STORMS: readonly { readonly name: string; readonly fault: Fault; readonly match: Match }[] = [
  { name: '503', fault: { kind: 'answer', status: 503 }, match: () => true },
  {
    name: '503 with Retry-After',
    fault: { kind: 'answer', status: 503, headers: { 'retry-after': '1' } },
    match: moves
  },
  { name: 'reset in the middle of a part', fault: { kind: 'reset', afterBytes: 1_000_000 }, match: moves },
  { name: 'silence', fault: { kind: 'stall' }, match: moves },
  { name: 'takes everything and does not answer', fault: { kind: 'hang' }, match: moves },
  { name: 'the answer to the completing call is lost', fault: { kind: 'lose answer' }, match: completes },
  { name: 'answers are lost', fault: { kind: 'lose answer' }, match: moves },
  { name: 'a bit flips on the way', fault: { kind: 'corrupt', atByte: 4_000_000 }, match: moves }
]
