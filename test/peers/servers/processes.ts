import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { open, readFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** Nothing of the caller's: a Python of its own, proxies and the like would be in the way. */
const ENV = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C.UTF-8', HOME: '/nonexistent' }
/** For a machine with much else to do. */
const PATIENCE_MS = 180_000
const GRACE_MS = 10_000

export type Command = {
  readonly argv: readonly [string, ...string[]]
  /** Who runs it when we are root; otherwise it runs as we are. */
  readonly user?: string
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
}

/** Servers that live in one folder and end with this process, even if that is killed. */
export class Processes {
  readonly folder: string
  readonly #running: { readonly name: string; readonly child: ChildProcess }[] = []

  /** @param folder that every user may pass through */
  constructor(folder: string) {
    this.folder = folder
  }

  /** Runs a program to its end and gives what it printed; throws with that when it fails. */
  async run(command: Command): Promise<string> {
    const [program, ...args] = withUser(command, [])
    const child = spawn(program, args, {
      cwd: command.cwd ?? this.folder,
      env: { ...ENV, ...command.env },
      stdio: ['ignore', 'pipe', 'pipe']
    })
    let output = ''
    child.stdout.on('data', (text) => {
      output += text
    })
    child.stderr.on('data', (text) => {
      output += text
    })
    const [code] = await once(child, 'close')
    if (code !== 0) throw new Error(`${command.argv[0]} failed (${code}): ${output.slice(-2000)}`)
    return output
  }

  /** Gives the folder, or a part of it, to a user, when we are root. */
  async own(user: string, part = '.'): Promise<void> {
    if (root) await this.run({ argv: ['chown', '-R', `${user}:`, part] })
  }

  /** Starts a server, its output in `<name>.log`, and waits until all of `ports` listen. */
  async serve(name: string, command: Command, ports: readonly number[]): Promise<void> {
    const log = await open(join(this.folder, `${name}.log`), 'a')
    const [program, ...args] = withUser(command, ['--pdeathsig=TERM'])
    const child = spawn(program, args, {
      cwd: command.cwd ?? this.folder,
      env: { ...ENV, ...command.env },
      detached: true, // a group of its own, so that stop() reaches its workers
      stdio: ['ignore', log.fd, log.fd]
    })
    await log.close()
    this.#running.push({ name, child })
    for (const port of ports) await this.until(name, () => listens(port))
  }

  /** Waits for what a server does; throws with the end of its log when it has ended instead. */
  async until(name: string, happened: () => Promise<boolean>): Promise<void> {
    for (const giveUpAt = Date.now() + PATIENCE_MS; Date.now() < giveUpAt; await sleep(50)) {
      if (await happened()) return
      const child = this.#running.find((running) => running.name === name)?.child
      if (child?.exitCode !== null || child.signalCode !== null)
        throw new Error(`${name} ended (${child?.exitCode ?? child?.signalCode}): ${await this.log(name)}`)
    }
    throw new Error(`${name} is not ready after ${PATIENCE_MS / 1000} s: ${await this.log(name)}`)
  }

  async log(name: string): Promise<string> {
    return (await readFile(join(this.folder, `${name}.log`), 'utf8').catch(() => '')).slice(-2000)
  }

  /** Ends everything, the last one first. */
  async stop(): Promise<void> {
    for (const { child } of this.#running.splice(0).reverse()) {
      if (child.pid === undefined) continue
      const ended = child.exitCode !== null || child.signalCode !== null ? Promise.resolve() : once(child, 'exit')
      signal(child.pid, 'SIGTERM')
      await Promise.race([ended, sleep(GRACE_MS, undefined, { ref: false })])
      signal(child.pid, 'SIGKILL')
      await ended
    }
  }
}

/** To a group, which may be gone already. */
function signal(group: number, name: NodeJS.Signals): void {
  try {
    process.kill(-group, name)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}

export const root = process.getuid?.() === 0

/** `command` as setpriv runs it, below root as its user. */
function withUser({ argv, user }: Command, options: readonly string[]): readonly [string, ...string[]] {
  const as = root && user ? [`--reuid=${user}`, `--regid=${user}`, '--init-groups', '--inh-caps=-all'] : []
  return ['setpriv', ...options, ...as, '--', ...argv]
}

function listens(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const socket = connect(port, '127.0.0.1', () => resolve(true)).on('error', () => resolve(false))
  return promise.finally(() => socket.destroy())
}

/** `count` free ports in a row, below the range that the system gives out by itself. Nothing holds them: use them soon. */
export async function freePorts(count: number): Promise<number> {
  for (let tries = 0; tries < 100; tries += 1) {
    // Above 10080, which fetch does not ask: it is among the bad ports of https://fetch.spec.whatwg.org/.
    const first = 10_100 + Math.floor(Math.random() * 20_000)
    const free = await Promise.all(Array.from({ length: count }, (_, index) => isFree(first + index)))
    if (free.every(Boolean)) return first
  }
  throw new Error('no free ports')
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  const { promise, resolve } = Promise.withResolvers<boolean>()
  server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  return promise
}
