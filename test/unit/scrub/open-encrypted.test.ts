import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { Secret } from '../../../src/domain/secret.ts'
import { Fish } from '../../../src/scrub/appliance/fish.ts'
import { openEncrypted } from '../../../src/scrub/appliance/open-encrypted.ts'

/** Answers as guestfish does for a guest that is LUKS in its first partition, and says no to every key. */
const GUESTFISH = `#!/bin/bash
while read -r line; do
  printf '%s\\n' "$line" >> "$ASKED"
  case $line in
    -list-partitions) echo /dev/sda1 ;;
    -vfs-type*) echo crypto_LUKS ;;
    debug*cryptsetup*) echo status 2 ;;
    'echo '*) echo "\${line#echo }" ;;
  esac
done
`

it('opens by the label of the disk: the kernel of the appliance may call another one /dev/sda', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'open-encrypted-'))
  try {
    const program = join(folder, 'guestfish')
    const asked = join(folder, 'asked')
    await writeFile(program, GUESTFISH)
    await chmod(program, 0o755)
    await using fish = new Fish([program], folder, { ASKED: asked }, new AbortController().signal)

    await expect(openEncrypted(fish, new Secret('key'))).rejects.toMatchObject({ code: 'SCRUB_DISK_KEY_WRONG' })

    const [command = ''] = (await readFile(asked, 'utf8')).split('\n').filter((line) => line.includes('cryptsetup'))
    expect(command.replaceAll('\\x20', ' ')).toContain(' /dev/disk/guestfs/guest1 opened0 ')
    expect(command).not.toContain('/dev/sda')
  } finally {
    await rm(folder, { recursive: true })
  }
})
