import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { request } from 'node:http'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { MiB } from '../src/domain/bytes.ts'

const START_LIMIT_MS = 60_000

/** What the demo reads of a task; the API answers more. */
export type DemoTask = {
  readonly id: string
  readonly task_status: 'queued' | 'processing' | 'transferring' | 'success' | 'failure'
  readonly message: string
  readonly export_location?: string
  readonly progress: { readonly bytes_total: number; readonly bytes_sent: number; readonly percent: number } | null
  readonly result: { readonly bytes: number; readonly checksums: { readonly sha256: string } } | null
}

export class DemoFailed extends Error {}

/** The service as a child process, and the few calls that the demo makes. */
export class DemoService {
  readonly url: string
  readonly token = 'alice:demo-project:member'
  readonly #child: ChildProcess
  readonly #logPath: string

  private constructor(child: ChildProcess, url: string, logPath: string) {
    this.#child = child
    this.url = url
    this.#logPath = logPath
  }

  /** Starts it with its data in `dataDir` and its log in `logPath`; answers when it is ready to serve. */
  static async start(dataDir: string, logPath: string): Promise<DemoService> {
    const port = await freePort()
    const log = await open(logPath, 'w')
    // setpriv: the service ends with the demo, even if that is killed.
    const child = spawn('setpriv', ['--pdeathsig=TERM', process.execPath, 'src/start/all.ts'], {
      cwd: join(import.meta.dirname, '..'),
      // Only these: the caller's own DATABASE_URL and the like are not for the demo.
      env: {
        PATH: process.env.PATH,
        HOST: '127.0.0.1',
        PORT: String(port),
        DATA_DIR: dataDir,
        IDENTITY: 'dev',
        ALLOWED_NETWORKS: '127.0.0.0/8'
      },
      // Ctrl-C reaches the demo, which then stops the service in its own time.
      detached: true,
      stdio: ['ignore', log.fd, log.fd]
    })
    await log.close()
    const service = new DemoService(child, `http://127.0.0.1:${port}`, logPath)
    try {
      await service.#untilReady()
    } catch (error) {
      await service.stop()
      throw error
    }
    return service
  }

  /** @returns the answer's JSON; throws DemoFailed with the service's own words when it refuses */
  async call<T>(method: 'GET' | 'POST', path: string, body?: object): Promise<T> {
    const response = await fetch(this.url + path, {
      method,
      headers: { 'x-auth-token': this.token, ...(body && { 'content-type': 'application/json' }) },
      ...(body && { body: JSON.stringify(body) })
    })
    const text = await response.text()
    if (!response.ok) throw new DemoFailed(`${method} ${path} was answered with ${response.status}: ${text}`)
    return JSON.parse(text)
  }

  async uploadImage(id: string, path: string): Promise<void> {
    const put = request(`${this.url}/v2/images/${id}/file`, {
      method: 'PUT',
      headers: { 'x-auth-token': this.token, 'content-type': 'application/octet-stream' }
    })
    const answered = once(put, 'response')
    const [[response]] = await Promise.all([answered, pipeline(createReadStream(path, { highWaterMark: MiB }), put)])
    const text = (await response.toArray()).join('')
    if (response.statusCode !== 204) {
      throw new DemoFailed(`the upload of the image was answered with ${response.statusCode}: ${text}`)
    }
  }

  async stop(): Promise<void> {
    if (this.#ended()) return
    const exit = once(this.#child, 'exit')
    this.#child.kill('SIGTERM')
    const force = setTimeout(() => this.#child.kill('SIGKILL'), 10_000)
    await exit
    clearTimeout(force)
  }

  async #untilReady(): Promise<void> {
    for (const giveUpAt = Date.now() + START_LIMIT_MS; Date.now() < giveUpAt; await sleep(25)) {
      if (this.#ended()) throw new DemoFailed(`the service ended before it was ready; see ${this.#logPath}`)
      const ready = await fetch(`${this.url}/readyz`).then(
        (response) => response.ok,
        () => false
      )
      if (ready) return
    }
    throw new DemoFailed(`the service was not ready within ${START_LIMIT_MS / 1000} s; see ${this.#logPath}`)
  }

  #ended(): boolean {
    return this.#child.pid === undefined || this.#child.exitCode !== null || this.#child.signalCode !== null
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  return typeof address === 'object' && address ? address.port : 0
}
