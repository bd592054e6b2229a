import { expect, it } from 'vitest'
import { Secret } from '../../../src/domain/secret.ts'
import { openEncrypted } from '../../../src/scrub/appliance/open-encrypted.ts'
import { fakeFish } from '../../support/fake-fish.ts'

it('opens by the label of the disk: the kernel of the appliance may call another one /dev/sda', async () => {
  // A guest that is LUKS in its first partition, and no key opens it.
  await using appliance = await fakeFish(`
    -list-partitions) echo /dev/sda1 ;;
    -vfs-type*) echo crypto_LUKS ;;
    debug*cryptsetup*) echo status 2 ;;`)

  const opened = openEncrypted(appliance.fish, new Secret('key'))

  await expect(opened).rejects.toMatchObject({ code: 'SCRUB_DISK_KEY_WRONG' })
  const [command = ''] = (await appliance.asked()).filter((line) => line.includes('cryptsetup'))
  expect(command.replaceAll('\\x20', ' ')).toContain(' /dev/disk/guestfs/guest1 opened0 ')
  expect(command).not.toContain('/dev/sda')
})
