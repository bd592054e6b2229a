import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream, type WriteStream } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'

const SRC = join(import.meta.dirname, '../src/start')
const CACHE = join(import.meta.dirname, '../node_modules/.cache/node')
/** As a supervisor waits before it starts a service again. */
const PAUSE_MS = 300

/** How a process ended: by us, at the named point where it was to crash, or by itself before or after it was ready. */
export type Death = {
  readonly slot: string
  /** As in the column `worker` of a task. */
  readonly workerId: string
  readonly how: 'killed' | 'crash point' | 'terminated' | 'did not start' | 'ended by itself'
  readonly crashAt: string | undefined
  /** Milliseconds since 1970. */
  readonly at: number
  readonly code: number | null
  /** Whether it had begun to serve. */
  readonly ready: boolean
  /** From the signal to the end. */
  readonly tookMs: number
  /** Whether it was asked again while it was stopping: then it may drop everything and end with 1. */
  readonly askedTwice: boolean
}

export type SlotOptions = {
  readonly name: string
  readonly program: 'http' | 'worker'
  readonly env: Readonly<Record<string, string>>
  /** For its log, all lives of the process in one file. */
  readonly folder: string
  onDeath(death: Death): void
  /** Where its next life is to crash; asked at every start. */
  crashAt?(): string | undefined
}

/** A place for one process of the service, which a supervisor starts again whenever it ends. */
export class Slot implements AsyncDisposable {
  readonly name: string
  readonly #options: SlotOptions
  readonly #log: WriteStream
  #child: ChildProcess | undefined
  #wanted: { readonly how: 'killed' | 'terminated'; readonly at: number; readonly again?: boolean } | undefined
  #over = false
  #living: Promise<void> = Promise.resolve()

  constructor(options: SlotOptions) {
    this.name = options.name
    this.#options = options
    this.#log = createWriteStream(join(options.folder, `${options.name}.log`))
  }

  start(): void {
    this.#over = false
    this.#living = this.#keepAlive()
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  /** As in the column `worker` of a task. */
  get workerId(): string {
    return `${hostname()}:${this.#child?.pid}`
  }

  /** kill -9. */
  kill(): void {
    this.#end('killed', 'SIGKILL')
  }

  terminate(): void {
    this.#end('terminated', 'SIGTERM')
  }

  /** Takes all its time away until it is let go on. */
  freeze(): () => void {
    const child = this.#child
    child?.kill('SIGSTOP')
    return () => void child?.kill('SIGCONT')
  }

  /** SIGTERM, and it is not started again. */
  async stop(): Promise<void> {
    this.#over = true
    this.terminate()
    await this.#living
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over = true
    this.kill()
    await this.#living
    this.#log.end()
  }

  #end(how: 'killed' | 'terminated', signal: NodeJS.Signals): void {
    if (!this.#child) return
    if (how === 'killed' || !this.#wanted) this.#wanted = { how, at: Date.now() }
    else this.#wanted = { ...this.#wanted, again: true }
    this.#child.kill(signal)
  }

  #takeWanted() {
    const wanted = this.#wanted
    this.#wanted = undefined
    return wanted
  }

  async #keepAlive(): Promise<void> {
    while (!this.#over) {
      await this.#oneLife()
      if (!this.#over) await sleep(PAUSE_MS)
    }
  }

  async #oneLife(): Promise<void> {
    const { program, env, crashAt: nextCrash, onDeath } = this.#options
    const crashAt = nextCrash?.()
    this.#takeWanted()
    const flags = program === 'worker' ? ['--max-semi-space-size=1'] : []
    const child = spawn('setpriv', ['--pdeathsig=KILL', process.execPath, ...flags, join(SRC, `${program}.ts`)], {
      env: {
        PATH: process.env.PATH,
        NODE_COMPILE_CACHE: CACHE,
        ...env,
        ...(crashAt !== undefined && { CRASH_AT: crashAt, LOG_LEVEL: 'debug' })
      },
      stdio: ['ignore', 'pipe', 'pipe']
    })
    this.#child = child
    let ready = false
    const note = (text: string) => {
      ready ||= text.includes('"msg":"working"') || text.includes('"msg":"listening"')
      this.#log.write(`${text}\n`)
    }
    createInterface({ input: child.stdout }).on('line', note)
    createInterface({ input: child.stderr }).on('line', note)
    const { workerId } = this
    const [code, signal] = await once(child, 'close')
    this.#child = undefined

    const asked = this.#takeWanted()
    const itself = ready ? 'ended by itself' : 'did not start'
    const crashed = crashAt !== undefined && signal === 'SIGKILL' && asked?.how !== 'killed'
    const how = crashed ? 'crash point' : (asked?.how ?? itself)
    const at = asked?.at ?? Date.now()
    const askedTwice = asked?.again ?? false
    onDeath({ slot: this.name, workerId, how, crashAt, at, code, ready, tookMs: Date.now() - at, askedTwice })
  }
}
