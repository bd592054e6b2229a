import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chown, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { KiB } from '../../domain/bytes.ts'
import { type Account, lockedUp, PROGRAM_PATH } from './account.ts'
import { endFamily } from './end-family.ts'

const ROM_BYTES = 64 * KiB
/** Where a PC begins: 16 bytes before the end of its ROM. */
const RESET_VECTOR = ROM_BYTES - 16
const SAID = 0x2a
const PORT = 0xf4
/** mov al, SAID; out PORT, al; and should that not end it: hlt, again and again. */
const PROGRAM = [0xb0, SAID, 0xe6, PORT, 0xf4, 0xeb, 0xfd]
/** What qemu exits with when the device isa-debug-exit was told `SAID`. */
const PROVED = (SAID << 1) | 1

export type KvmProbe = {
  /** Folder for a file of 64 KiB, open to the account. */
  readonly folder: string
  /** Who runs it: as the appliance, for others may not be let at /dev/kvm. */
  readonly account: Account | undefined
  /** Milliseconds; what has not answered by then is ended, and was no proof. */
  readonly limitMs: number
  /** A PC's. */
  readonly qemu?: string
  readonly accelerator?: 'kvm' | 'tcg'
}

/**
 * Asks when it is asked first, and remembers the answer: the processor stays the same as long as this process lives. That it
 * could not be asked is not remembered.
 */
export function askedOnce(ask: () => Promise<boolean>): () => Promise<boolean> {
  let answer: Promise<boolean> | undefined
  return () => {
    answer ??= ask().catch((error: unknown) => {
      answer = undefined
      throw error
    })
    return answer
  }
}

/**
 * Whether a virtual processor of KVM runs a program here. That /dev/kvm can be opened, and a machine be made, says little:
 * there are places where it then never comes back. So a machine is started whose ROM says one word and switches it off.
 */
export async function kvmWorks(probe: KvmProbe): Promise<boolean> {
  const { account, qemu = 'qemu-system-x86_64', accelerator = 'kvm' } = probe
  const folder = await mkdtemp(join(probe.folder, 'kvm-'))
  try {
    const rom = join(folder, 'rom')
    const bytes = Buffer.alloc(ROM_BYTES)
    bytes.set(PROGRAM, RESET_VECTOR)
    await writeFile(rom, bytes)
    if (account) await chown(folder, account.uid, account.gid)
    return await run([...lockedUp(account), qemu, ...machine(accelerator, rom)], folder, probe.limitMs)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

const machine = (accelerator: string, rom: string): string[] => [
  ...['-no-user-config', '-nodefaults', '-display', 'none', '-no-reboot', '-m', '16'],
  ...['-machine', 'pc', '-accel', accelerator, '-bios', rom, '-device', `isa-debug-exit,iobase=${PORT},iosize=1`]
]

async function run([program = '', ...args]: readonly string[], folder: string, limitMs: number): Promise<boolean> {
  const env = { PATH: PROGRAM_PATH, LC_ALL: 'C', HOME: folder, TMPDIR: folder }
  const child = spawn(program, args, { cwd: folder, env, detached: true, stdio: 'ignore' })
  const over = new AbortController()
  const ended = once(child, 'exit').then(
    ([code]) => code === PROVED,
    () => false
  )
  const late = sleep(limitMs, false, { signal: over.signal }).catch(() => false)
  try {
    return await Promise.race([ended, late])
  } finally {
    over.abort()
    await endFamily(child)
    child.unref() // a process that hangs in the kernel does not end, and nobody waits for it
  }
}
