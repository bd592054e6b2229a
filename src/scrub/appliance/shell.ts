import { Refused } from '../refused.ts'
import { commandLine, listOf } from './command-line.ts'
import { LABEL } from './devices.ts'
import type { Fish } from './fish.ts'

/**
 * Runs what guestfish has no word for in the appliance's own shell, as root.
 * @param command without a single quote; what of it the guest has chosen went through `inShell` or `pathInShell`
 * @returns what it wrote to its output, and the code it ended with
 */
export async function shell(fish: Fish, command: string): Promise<{ readonly said: string; readonly status: string }> {
  const printed = await fish.text(commandLine('debug', 'sh', listOf([`${command} ; echo status $?`])))
  const [, said = '', status = ''] = /^(.*?)status (\d+)\s*$/s.exec(printed) ?? []
  return { said, status }
}

/**
 * What a device is called in the appliance's own shell. guestfish has names of its own and puts the guest's disk first
 * (/dev/sda); its kernel finds several disks at once, and any of them may be its first.
 * @throws Refused where its name, as the guest has chosen it, may mean something to a shell
 * @see https://libguestfs.org/guestfs.3.html, "Disk labels"
 */
export const inShell = (device: string): string =>
  plain(device).replace(/^\/dev\/sda(?=\d*$)/, `/dev/disk/guestfs/${LABEL}`)

/** What a path of the guest is called there. @throws Refused as `inShell` */
export const pathInShell = (path: string): string => `/sysroot${plain(path)}`

function plain(name: string): string {
  if (!/^\/[\w.+/-]+$/.test(name) || name.split('/').includes('..'))
    throw new Refused('name', 'a name in it cannot be told to the appliance')
  return name
}

/** For a moment, room in the memory of the appliance that commands of guestfish can reach as /: nothing may be mounted. */
export async function inMemory<Result>(fish: Fish, use: () => Promise<Result>): Promise<Result> {
  await shell(fish, 'mount -t tmpfs none /sysroot')
  const result = await use()
  await fish.ask('umount-all')
  return result
}
