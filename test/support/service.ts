import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'

/** As in package.json: types are stripped and code compiled once, and not again at every start. */
const CACHE = join(import.meta.dirname, '../../node_modules/.cache/node')
const SRC = join(import.meta.dirname, '../../src/start')

type Line = { readonly msg: string; readonly [key: string]: unknown }

/** A process of the real service, started as operators start it. */
export type ServiceProcess = {
  readonly child: ChildProcess
  /** Every line of its log so far. */
  readonly log: readonly Line[]
  readonly stderr: () => string
  /** The first line with this message, now or later. Rejects when the process ends without it. */
  line(msg: string): Promise<Line>
  /** The exit code, once it has ended. */
  readonly exited: Promise<number | null>
  /** Ends it and gives the exit code. */
  stop(signal?: NodeJS.Signals): Promise<number | null>
  [Symbol.asyncDispose](): Promise<void>
}

type ProcessName = 'all' | 'http' | 'worker' | 'migrate' | 'rotate-keys'

export function startProcess(name: ProcessName, env: Record<string, string>): ServiceProcess {
  const child = spawn(process.execPath, [join(SRC, `${name}.ts`)], {
    env: {
      PATH: process.env.PATH,
      NODE_COMPILE_CACHE: CACHE,
      PORT: '0',
      SWEEP_SECONDS: '1',
      DESTINATION_TRIES: '2',
      // Tests poll faster than people.
      RATE_LIMIT_READS: '0',
      ALLOWED_NETWORKS: '127.0.0.0/8',
      ...env
    },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  const log: Line[] = []
  const waiting = new Set<() => void>()
  let errors = ''
  createInterface({ input: child.stdout }).on('line', (text) => {
    log.push(JSON.parse(text))
    for (const look of waiting) look()
  })
  child.stderr.on('data', (text) => {
    errors += text
  })
  const exited = once(child, 'exit').then(([code]) => {
    for (const look of waiting) look()
    return code
  })

  const stop = async (signal: NodeJS.Signals = 'SIGTERM') => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal)
    return exited
  }
  return {
    child,
    log,
    stderr: () => errors,
    exited,
    line: (msg) =>
      new Promise((resolve, reject) => {
        const look = () => {
          const found = log.find((line) => line.msg === msg)
          if (!found && child.exitCode === null && child.signalCode === null) return
          waiting.delete(look)
          if (found) resolve(found)
          else
            reject(
              new Error(
                `the process ended (${child.exitCode}) without "${msg}": ${errors}${JSON.stringify(log.slice(-3))}`
              )
            )
        }
        waiting.add(look)
        look()
      }),
    stop,
    async [Symbol.asyncDispose]() {
      await stop('SIGKILL')
    }
  }
}

export type Json = { readonly [key: string]: unknown }
export type Answer = { readonly status: number; readonly headers: Headers; readonly body: Json }

/** A client of the API as one user. */
export class Client {
  readonly #url: string
  readonly #token: string

  constructor(url: string, token = 'alice:demo:member') {
    this.#url = url
    this.#token = token
  }

  async call(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    const response = await fetch(this.#url + path, {
      method,
      headers: {
        'x-auth-token': this.#token,
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers
      },
      ...(body !== undefined && { body: body instanceof Uint8Array ? new Uint8Array(body) : JSON.stringify(body) })
    })
    const text = await response.text()
    return { status: response.status, headers: response.headers, body: text === '' ? {} : JSON.parse(text) }
  }

  /** A new image with these bytes; gives its id. Throws when the upload is refused. */
  async upload(bytes: Uint8Array, diskFormat: string): Promise<string> {
    const created = await this.call('POST', '/v2/images', {
      name: 'test',
      disk_format: diskFormat,
      container_format: 'bare'
    })
    const id = String(created.body.id)
    const uploaded = await this.call('PUT', `/v2/images/${id}/file`, bytes, {
      'content-type': 'application/octet-stream'
    })
    if (uploaded.status !== 204) throw new Error(`upload answered ${uploaded.status}: ${JSON.stringify(uploaded.body)}`)
    return id
  }

  async export(imageUuid: string, exportTo: string, more: Json = {}): Promise<string> {
    const created = await this.call('POST', '/v2/tasks', {
      task_type: 'export',
      image_uuid: imageUuid,
      export_to: exportTo,
      export_format: 'qcow2',
      ...more
    })
    if (created.status !== 201)
      throw new Error(`POST /v2/tasks answered ${created.status}: ${JSON.stringify(created.body)}`)
    return String(created.body.id)
  }

  /** The task once `done` says so; the statuses seen on the way. */
  async until(id: string, done: (task: Json) => boolean): Promise<Json & { readonly seen: readonly string[] }> {
    const seen: string[] = []
    for (;;) {
      const { body } = await this.call('GET', `/v2/tasks/${id}`)
      if (seen.at(-1) !== body.task_status) seen.push(String(body.task_status))
      if (done(body)) return { ...body, seen }
      await sleep(20)
    }
  }

  ended(id: string) {
    return this.until(id, (task) => task.task_status === 'success' || task.task_status === 'failure')
  }
}
