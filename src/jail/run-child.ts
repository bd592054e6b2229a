import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { constants } from 'node:os'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { type JailedResult, type JailedRun, JailTimeout } from './jail.ts'

/** Between asking a program to end and ending it. */
const GRACE_MS = 1000
const ENVIRONMENT = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' }

/**
 * Runs a command line in a process group of its own, which is ended as a whole.
 * Throws JailTimeout, the signal's reason, and what spawn throws.
 */
export async function runChild(line: readonly string[], run: JailedRun, signal: AbortSignal): Promise<JailedResult> {
  signal.throwIfAborted()
  const [command = '', ...args] = line
  const child = spawn(command, args, {
    cwd: run.work,
    env: { ...ENVIRONMENT, ...run.env },
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe']
  })
  const ended = once(child, 'close')
  if (child.pid === undefined) await ended // it could not be started, and has no input: this throws why
  // A program may end without having read all; that is its own business.
  child.stdin.on('error', () => {})
  child.stdin.end(run.stdin ?? '')
  const output = {
    stdout: keep(child.stdout, run.limits.outputBytes),
    stderr: keep(child.stderr, run.limits.outputBytes)
  }

  const limit = AbortSignal.timeout(run.limits.wallMs)
  const stop = AbortSignal.any([signal, limit])
  const stopped = () => endGroup(child, ended)
  stop.addEventListener('abort', stopped, { once: true })
  try {
    const [code, killedBy] = await ended
    signal.throwIfAborted()
    if (limit.aborted) throw new JailTimeout(run.command, run.limits.wallMs)
    const exitCode: number = code ?? 128 + (constants.signals[killedBy as NodeJS.Signals] ?? 0)
    return { exitCode, stdout: output.stdout(), stderr: output.stderr() }
  } finally {
    stop.removeEventListener('abort', stopped)
  }
}

async function endGroup(child: ChildProcess, ended: Promise<unknown>): Promise<void> {
  killGroup(child, 'SIGTERM')
  const over = await Promise.race([ended.then(() => true), sleep(GRACE_MS, false, { ref: false })])
  if (!over) killGroup(child, 'SIGKILL')
}

function killGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, signal)
  } catch {
    // It has ended by itself.
  }
}

/** Reads all, keeps the first `limit` bytes. */
function keep(stream: Readable, limit: number): () => Buffer {
  const chunks: Buffer[] = []
  let kept = 0
  stream.on('data', (chunk: Buffer) => {
    const part = chunk.subarray(0, limit - kept)
    if (part.length > 0) chunks.push(part)
    kept += part.length
  })
  return () => Buffer.concat(chunks)
}
