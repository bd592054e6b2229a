import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { createInterface, type Interface } from 'node:readline'
import packageJson from '../package.json' with { type: 'json' }
import { startEmbeddedPostgres } from '../src/embedded/postgres.ts'
import { Client, type Json } from '../test/support/service.ts'
import { startChild, stopChild } from './processes.ts'

const ROOT = join(import.meta.dirname, '..')

type Line = { readonly msg: string; readonly taskId?: string; readonly [key: string]: unknown }

/** A process of the service and the lines of its log. */
class Logged {
  readonly child: ChildProcess
  readonly #lines: Line[] = []
  readonly #reader: Interface | undefined
  readonly #waiting = new Set<() => void>()
  #ended = false

  /** @param script of package.json: with the flags and the environment that operators start it with */
  constructor(
    script: 'start:http' | 'start:worker' | 'migrate',
    env: Record<string, string>,
    flags: readonly string[] = []
  ) {
    const path = `${dirname(process.execPath)}:${process.env.PATH}`
    this.child = startChild('sh', ['-c', packageJson.scripts[script]], {
      cwd: ROOT,
      env: { ...env, PATH: path, NODE_OPTIONS: flags.join(' ') }
    })
    const wake = () => {
      for (const look of this.#waiting) look()
    }
    if (this.child.stdout)
      this.#reader = createInterface({ input: this.child.stdout }).on('line', (text) => {
        this.#lines.push(JSON.parse(text))
        wake()
      })
    this.child.once('exit', () => {
      this.#ended = true
      wake()
    })
  }

  /** Takes what is logged from now on without reading it. */
  drop(): void {
    this.#reader?.close()
    this.child.stdout?.resume()
  }

  /** The first line that `wanted` says yes to, as soon as it is there. */
  line(wanted: (line: Line) => boolean): Promise<Line> {
    return new Promise((resolve, reject) => {
      const look = () => {
        const found = this.#lines.find(wanted)
        if (found) resolve(found)
        else if (this.#ended) reject(new Error(`a process ended: ${JSON.stringify(this.#lines.slice(-3))}`))
        else return
        this.#waiting.delete(look)
      }
      this.#waiting.add(look)
      look()
    })
  }
}

export type ExportWish = {
  readonly imageId: string
  readonly format: string
  readonly options: Json
  /** `export_to`, and the credentials that go with it. */
  readonly place: Json
}

export type Worker = {
  readonly pid: number
  /** Makes one export through the API; returns when the worker has written down its success, with the task. */
  export(wish: ExportWish): Promise<Json>
  stop(): Promise<void>
}

export type Service = {
  readonly client: Client
  readonly url: string
  readonly databaseUrl: string
  readonly dataDir: string
  /** Where workers would stage files if they did: their TMPDIR. */
  readonly tempDir: string
  startWorker(options?: { readonly concurrency?: number; readonly flags?: readonly string[] }): Promise<Worker>
  stop(): Promise<void>
}

/**
 * The real service as operators run it, split: API and workers as processes, and its own PostgreSQL. No worker yet.
 * @param options settings besides those it needs, and flags for the API's Node
 */
export async function startService(
  dataDir: string,
  options: {
    readonly env?: Record<string, string>
    readonly httpFlags?: readonly string[]
    readonly dropLog?: boolean
  } = {}
): Promise<Service> {
  const tempDir = join(dataDir, 'tmp')
  await mkdir(tempDir, { recursive: true })
  const postgres = await startEmbeddedPostgres({ dataDir, log: { info: () => {} } })
  const env = {
    DATABASE_URL: postgres.url,
    DATA_DIR: dataDir,
    TMPDIR: tempDir,
    PORT: '0',
    ALLOWED_NETWORKS: '127.0.0.0/8',
    IDENTITY: 'dev',
    ...options.env
  }
  const migration = new Logged('migrate', env)
  await once(migration.child, 'exit')
  const api = new Logged('start:http', env, options.httpFlags)
  const url = String((await api.line(({ msg }) => msg === 'listening')).url)
  const client = new Client(url)
  // Reading it costs as much as some answers do, on the same core.
  if (options.dropLog) api.drop()

  return {
    client,
    url,
    databaseUrl: postgres.url,
    dataDir,
    tempDir,
    async startWorker({ concurrency = 8, flags = [] } = {}) {
      const worker = new Logged('start:worker', { ...env, WORKER_CONCURRENCY: String(concurrency) }, flags)
      await worker.line(({ msg }) => msg === 'working')
      return {
        pid: worker.child.pid ?? 0,
        async export({ imageId, format, options, place }) {
          const wish = { export_format: format, format_options: options, ...place }
          const id = await client.export(imageId, '', wish)
          const end = await worker.line(
            ({ msg, taskId }) => taskId === id && (msg === 'export succeeded' || msg === 'export failed')
          )
          if (end.msg === 'export failed') throw new Error(`the export failed: ${JSON.stringify(end.err)}`)
          return (await client.call('GET', `/v2/tasks/${id}`)).body
        },
        stop: () => stopChild(worker.child)
      }
    },
    async stop() {
      await stopChild(api.child)
      await postgres.stop()
    }
  }
}
