import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { DebianGuest } from './debian-guest.ts'

const ARGS = [
  ...['-machine', 'q35,accel=tcg', '-cpu', 'Nehalem', '-m', '1024', '-smp', '2', '-nographic', '-nodefaults'],
  ...['-no-reboot', '-serial', 'stdio', '-append', 'root=LABEL=rootfs console=ttyS0 systemd.show_status=1']
]

/**
 * Starts a guest in an emulated machine that writes nothing to its disk, and waits until it asks who is there.
 * @returns what it has said on its console until then, or until it ended
 */
export async function bootGuest(
  disk: string,
  format: string,
  { kernel, initrd }: Pick<DebianGuest, 'kernel' | 'initrd'>,
  signal: AbortSignal
): Promise<string> {
  const drive = `file=${disk},format=${format},if=virtio,snapshot=on`
  const args = [...ARGS, '-kernel', kernel, '-initrd', initrd, '-drive', drive]
  const machine = spawn('qemu-system-x86_64', args, {
    stdio: ['ignore', 'pipe', 'ignore'],
    signal,
    killSignal: 'SIGKILL'
  })
  const ended = once(machine, 'close').catch(() => undefined)
  let said = ''
  try {
    for await (const bytes of machine.stdout) {
      said += bytes.toString('latin1')
      if (/login: ?$/.test(said)) break
    }
  } finally {
    machine.kill('SIGKILL')
    await ended
  }
  return said
}
