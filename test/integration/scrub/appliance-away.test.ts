import { chmod, writeFile } from 'node:fs/promises'
import { expect, it } from 'vitest'
import { MiB } from '../../../src/domain/bytes.ts'
import { ScrubApplianceFailed } from '../../../src/domain/scrub-errors.ts'
import { ownAccount } from '../../../src/scrub/appliance/account.ts'
import { diskAt } from '../../unit/scrub/guest-disk.ts'
import { describeWithTools, tool } from '../../unit/scrub/tools.ts'
import { MINUTE_MS, scratch, scrubOrSkip } from './appliance-run.ts'

describeWithTools(['guestfish', 'setpriv'], 'an appliance that does not start', () => {
  it(
    "is the operator's to mend, and no guest leaves as it is for that",
    async () => {
      await using place = await scratch()
      await chmod(place.path, 0o777)
      // Where libguestfs would build its appliance.
      const uid = ownAccount()?.uid ?? process.getuid?.()
      await writeFile(place.at(`.guestfs-${uid}`), '')
      await tool('truncate', '-s', `${8 * MiB}`, place.at('guest.raw'))
      await using disk = await diskAt(place.at('guest.raw'))

      const scrubbed = scrubOrSkip(disk, place.at('work'), place.path)

      await expect(scrubbed).rejects.toBeInstanceOf(ScrubApplianceFailed)
      await expect(scrubbed).rejects.toMatchObject({ permanent: false, actor: 'operator' })
    },
    2 * MINUTE_MS
  )
})
