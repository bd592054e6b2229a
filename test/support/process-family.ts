import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

/** What Linux shows of one process to others. Empty where it has ended meanwhile. */
export type SeenProcess = {
  readonly pid: number
  readonly commandLine: string
  readonly environment: string
  readonly limits: string
}

/** A process and everything that it has started, as /proc has them now. */
export function family(pid: number): SeenProcess[] {
  const file = (name: string) => read(`/proc/${pid}/${name}`)
  const seen = { pid, commandLine: file('cmdline'), environment: file('environ'), limits: file('limits') }
  return [seen, ...threads(pid).flatMap((thread) => childrenOf(file(`task/${thread}/children`)).flatMap(family))]
}

/** Looks at the family again and again until it is stopped; short-lived processes are seen, too, unless very short. */
export function watchFamily(pid: number): { seen(): SeenProcess[]; stop(): Promise<SeenProcess[]> } {
  const seen = new Map<string, SeenProcess>()
  let stopped = false
  const watching = (async () => {
    while (!stopped) {
      for (const one of family(pid)) seen.set(JSON.stringify(one), one)
      await sleep(50)
    }
  })()
  return {
    seen: () => [...seen.values()],
    async stop() {
      stopped = true
      await watching
      return [...seen.values()]
    }
  }
}

const childrenOf = (text: string): number[] => text.split(' ').filter(Boolean).map(Number)

function threads(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`)
  } catch {
    return []
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return ''
  }
}
