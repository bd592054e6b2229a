import { ScrubDiskKeyWrong } from '../../domain/scrub-errors.ts'
import type { Secret } from '../../domain/secret.ts'
import { Refused } from '../refused.ts'
import { commandLine } from './command-line.ts'
import { devices, typeOf } from './devices.ts'
import type { Fish } from './fish.ts'
import { inMemory, inShell, shell } from './shell.ts'

const LUKS = 'crypto_LUKS'
/** Guests have one or two. */
const MAX_VOLUMES = 16
/** Of the key in one command, whose line is at most four times as long. */
const CHUNK_BYTES = 1000
/** What cryptsetup exits with where no key slot opens; see cryptsetup(8), "RETURN CODES". */
const NO_PERMISSION = '2'

/**
 * Opens every LUKS volume, one inside another too, with one key.
 * @returns the opened devices
 * @throws Refused with the rule `encrypted` where there is one and no key; ScrubDiskKeyWrong
 */
export async function openEncrypted(fish: Fish, key: Secret<string> | undefined): Promise<readonly string[]> {
  const openedOf = new Map<string, string>()
  for (;;) {
    const candidates = [...(await devices(fish)), ...openedOf.values()]
    const closed: string[] = []
    for (const device of candidates) {
      if (!openedOf.has(device) && (await typeOf(fish, device)) === LUKS) closed.push(device)
    }
    if (closed.length === 0) return [...openedOf.values()]
    if (!key) throw new Refused('encrypted', 'it is encrypted, and there is no key for it')
    if (openedOf.size + closed.length > MAX_VOLUMES) {
      throw new Refused('too-many-volumes', 'it has more encrypted volumes than are opened')
    }
    // Its /tmp is in a file of the host. The key goes with the memory.
    await inMemory(fish, async () => {
      await placeKey(fish, key)
      for (const device of closed) openedOf.set(device, await open(fish, device, `opened${openedOf.size}`))
    })
    await fish.ask('lvm-scan true')
  }
}

async function placeKey(fish: Fish, key: Secret<string>): Promise<void> {
  const bytes = Buffer.from(key.unwrap(), 'utf8')
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
    await fish.ask(commandLine('write-append', '/key', bytes.toString('latin1', at, at + CHUNK_BYTES)))
  }
  bytes.fill(0)
}

/** With discards allowed, so that what nobody uses becomes zeros below the encryption too. */
async function open(fish: Fish, device: string, name: string): Promise<string> {
  const { said, status } = await shell(
    fish,
    `cryptsetup open --type luks --allow-discards --key-file /sysroot/key ${inShell(device)} ${name}`
  )
  if (status === NO_PERMISSION) throw new ScrubDiskKeyWrong()
  if (status !== '0') {
    const refused = new Refused('not-opened', 'its encryption is of a kind that is not opened here')
    refused.cause = new Error(said.trim())
    throw refused
  }
  return `/dev/mapper/${name}`
}
