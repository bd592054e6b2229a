import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'

/** Kernel ticks of utime and stime: USER_HZ, 100 on every Linux that Node runs on (proc(5)). */
const TICK_MS = 10

export type ChildOptions = {
  readonly cwd?: string
  readonly env?: Record<string, string>
  readonly stdout?: 'pipe' | 'ignore'
}

/** Starts a process that ends with this one, however this one ends. What it says of errors goes to our stderr. */
export function startChild(
  command: string,
  args: readonly string[],
  { cwd, env = {}, stdout = 'pipe' }: ChildOptions = {}
) {
  return spawn('setpriv', ['--pdeathsig=KILL', command, ...args], {
    cwd,
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', stdout, 'inherit'],
    // Ctrl-C reaches the bench, which ends its processes in its own order.
    detached: true
  })
}

export async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  const force = setTimeout(() => child.kill('SIGKILL'), 10_000)
  await exited
  clearTimeout(force)
}

/** CPU milliseconds, user and system, that all descendants of this process have used so far, but for those below `except`. */
export function cpuOfDescendants(except: ReadonlySet<number>): number {
  const children = new Map<number, { pid: number; ticks: number }[]>()
  for (const name of readdirSync('/proc')) {
    const stat = /^\d+$/.test(name) ? readOrNothing(`/proc/${name}/stat`) : ''
    if (stat === '') continue
    // The second field is a name in parentheses and may hold anything; proc(5) counts it as 2.
    const field = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    const ticks = [14, 15, 16, 17].reduce((sum, index) => sum + Number(field[index - 3]), 0)
    const parent = Number(field[1])
    children.set(parent, [...(children.get(parent) ?? []), { pid: Number(name), ticks }])
  }
  const below = (pid: number): number =>
    (children.get(pid) ?? [])
      .filter((child) => !except.has(child.pid))
      .reduce((sum, child) => sum + child.ticks + below(child.pid), 0)
  return below(process.pid) * TICK_MS
}

/** Makes the kernel forget the highest resident size so far (proc(5), clear_refs). */
export const forgetPeakRss = (pid: number): void => writeFileSync(`/proc/${pid}/clear_refs`, '5')

/** Bytes: the highest resident size since the start or since it was forgotten. */
export const peakRss = (pid: number): number => numberIn(`/proc/${pid}/status`, /VmHWM:\s+(\d+)/) * 1024

/** Bytes that the process has given to file systems to write, deleted files included. */
export const diskWritten = (pid: number): number => numberIn(`/proc/${pid}/io`, /^write_bytes: (\d+)/m)

const numberIn = (path: string, pattern: RegExp): number => Number(pattern.exec(readFileSync(path, 'utf8'))?.[1])

function readOrNothing(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return '' // ended in between
  }
}
