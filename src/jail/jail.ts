export type JailLimits = {
  /** Of the address space of each process. */
  readonly memoryBytes: number
  /** Of each process. */
  readonly cpuSeconds: number
  /** Of any file that is written: the highest offset, holes included. */
  readonly fileBytes: number
  /** At once. Without effect where this process is root: the kernel does not count root's. */
  readonly processes: number
  readonly wallMs: number
  /** Of stdout, and of stderr: what comes after is dropped. */
  readonly outputBytes: number
}

/** Nothing that a guest or a user has chosen belongs into a command line: give it in `stdin` or in a file. */
export type JailedRun = {
  /** A program's name, found below /usr, or an absolute path. */
  readonly command: string
  readonly args: readonly string[]
  /** Besides PATH and LC_ALL, which are all that is set else. */
  readonly env?: Readonly<Record<string, string>>
  readonly stdin?: string | Uint8Array
  /** The one folder that may be written to, and the current one: name what lies in it by relative paths. */
  readonly work: string
  /** Absolute paths that may be read besides /usr; they are at the same places inside. */
  readonly readable?: readonly string[]
  readonly limits: JailLimits
}

export type JailedResult = {
  /** As a shell has it: 128 and the signal's number for a program that a signal ended. */
  readonly exitCode: number
  readonly stdout: Buffer
  readonly stderr: Buffer
}

/**
 * Runs a program that works on bytes of a stranger: without network, other processes, privileges or files of this machine.
 * Throws JailTimeout at the limit of `wallMs`, and the signal's reason; all that was started is gone by then.
 * Call from the main thread: the kernel takes the end of the thread that started a child for the end of its parent.
 */
export type RunJailed = (run: JailedRun, signal: AbortSignal) => Promise<JailedResult>

/** A program was stopped because it took too long. */
export class JailTimeout extends Error {
  override readonly name = 'JailTimeout'

  constructor(command: string, wallMs: number) {
    super(`${command} took longer than ${wallMs / 1000} seconds`)
  }
}

/** Programs cannot be locked up here. The message says what the operator can do. */
export class JailUnavailable extends Error {
  override readonly name = 'JailUnavailable'
}
