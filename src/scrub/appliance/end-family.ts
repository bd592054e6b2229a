import type { ChildProcess } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'

/** qemu was still there a second after it had been asked. */
const GRACE_MS = 3000
const LOOK_MS = 50

/** Ends a process that was started as the leader of a session, and all that it has started: asked first, soon made to. */
export async function endFamily(leader: ChildProcess): Promise<void> {
  if (leader.pid === undefined) return
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    const until = Date.now() + GRACE_MS
    for (const pid of await sessionOf(leader.pid)) tell(pid, signal)
    while (Date.now() < until) {
      if ((await sessionOf(leader.pid)).length === 0) return
      await sleep(LOOK_MS)
    }
  }
}

/** Processes of a session that still run: its number is not given out again while there is one. */
async function sessionOf(leader: number): Promise<number[]> {
  const pids = (await readdir('/proc')).map(Number).filter(Number.isInteger)
  const members = await Promise.all(pids.map(async (pid) => ((await isIn(pid, leader)) ? [pid] : [])))
  return members.flat()
}

/** Behind the program's name, which may hold anything: state, parent, group, session; see proc_pid_stat(5). */
async function isIn(pid: number, leader: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '')
  const [, state, , , session] = stat.slice(stat.lastIndexOf(')')).split(' ')
  return Number(session) === leader && state !== 'Z'
}

function tell(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // It has just ended.
  }
}
