import { lstatSync, readlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { MiB } from '../domain/bytes.ts'
import { type JailedRun, type JailLimits, JailUnavailable, type RunJailed } from './jail.ts'
import { runChild } from './run-child.ts'

const NOBODY = '65534'
const INSIDE = '/jailed'
/** Links to their namesakes below /usr on most systems of today. */
const PROGRAM_FOLDERS = ['/bin', '/sbin', '/lib', '/lib32', '/lib64']
/** Where the loader finds libraries, and which of several programs a common name means. */
const LOOKED_UP = ['/etc/ld.so.cache', '/etc/alternatives']
const PROBE_LIMITS: JailLimits = {
  memoryBytes: 512 * MiB,
  cpuSeconds: 5,
  fileBytes: MiB,
  processes: 16,
  wallMs: 10_000,
  outputBytes: 4096
}

/**
 * `strict`: bubblewrap, with a probe whether it works here. `off`: limits on resources alone, so a program that was taken
 * over may do what this process may do.
 * Throws JailUnavailable.
 */
export async function openJail(mode: 'strict' | 'off'): Promise<RunJailed> {
  const jail: RunJailed = (run, signal) => runChild(mode === 'strict' ? lockedUp(run) : limitedOnly(run), run, signal)
  const probe: JailedRun = { command: 'true', args: [], work: tmpdir(), limits: PROBE_LIMITS }
  try {
    const { exitCode, stderr } = await jail(probe, AbortSignal.timeout(PROBE_LIMITS.wallMs * 2))
    if (exitCode !== 0) throw new Error(stderr.toString('utf8').trim().split('\n')[0])
  } catch (cause) {
    const why = cause instanceof Error && cause.message
    throw new JailUnavailable(
      mode === 'strict'
        ? `Programs cannot be locked up here (${why}): install bubblewrap 0.8 or newer and util-linux, and allow user namespaces, in containers by their seccomp profile too; or run without with JAIL=off.`
        : `Programs cannot be limited here (${why}): install util-linux.`,
      { cause }
    )
  }
  return jail
}

/** `prlimit` stands inside: bubblewrap's own process is not the program's. */
const limited = ({ command, args, limits }: JailedRun): string[] => [
  'prlimit',
  `--as=${limits.memoryBytes}`,
  `--cpu=${limits.cpuSeconds}`,
  `--fsize=${limits.fileBytes}`,
  `--nproc=${limits.processes}`,
  '--nofile=256',
  '--core=0',
  '--',
  command,
  ...args
]

const limitedOnly = (run: JailedRun): string[] => ['setpriv', '--pdeathsig', 'KILL', '--no-new-privs', ...limited(run)]

/**
 * Without /proc: whoever is root outside may write to the kernel's settings there, even without a single capability. Without a
 * session of its own, as there is no terminal to keep away: it would leave the process group before its parent's death ends it.
 */
const lockedUp = (run: JailedRun): string[] => [
  'bwrap',
  ...['--unshare-all', '--unshare-user', '--disable-userns', '--die-with-parent'],
  ...['--uid', NOBODY, '--gid', NOBODY, '--cap-drop', 'ALL'],
  ...['--ro-bind', '/usr', '/usr', ...PROGRAM_FOLDERS.flatMap(asOutside)],
  ...['--dev', '/dev', '--tmpfs', '/tmp'],
  ...[...LOOKED_UP, ...(run.readable ?? [])].flatMap((path) => ['--ro-bind-try', path, path]),
  ...['--bind', run.work, INSIDE, '--chdir', INSIDE],
  '--',
  ...limited(run)
]

function asOutside(path: string): string[] {
  const kind = lstatSync(path, { throwIfNoEntry: false })
  if (!kind) return []
  return kind.isSymbolicLink() ? ['--symlink', readlinkSync(path), path] : ['--ro-bind', path, path]
}
