import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { openJail } from '../../../src/jail/open-jail.ts'
import { createOverlay } from '../../../src/scrub/create-overlay.ts'
import { fastEditor } from '../../../src/scrub/fast/fast.ts'
import { scrubSteps } from '../../../src/scrub/registry.ts'
import { ZeroedDisk } from '../../../src/scrub/zeroed-disk.ts'
import { aptSources } from '../../support/apt-sources.ts'
import { bootGuest } from '../../support/boot-guest.ts'
import { makeDebianGuest } from '../../support/debian-guest.ts'
import { diskAt, search, writeDisk } from '../../unit/scrub/guest-disk.ts'
import { describeWithTools, standing, tool } from '../../unit/scrub/tools.ts'

const MINUTE_MS = 60_000
const NEVER = new AbortController().signal

const TOOLS = ['mmdebstrap', 'qemu-system-x86_64', 'sgdisk', 'bwrap']
const describeAsRoot = (name: string, body: () => void) =>
  process.getuid?.() === 0
    ? describeWithTools(TOOLS, name, body)
    : describe.skip(name, { meta: { skipReason: 'it takes root to make a Debian' } }, body)

describeAsRoot('a real Debian that was scrubbed', () => {
  it(
    'holds no planted byte, is sound, and starts up to its login prompt',
    async () => {
      const place = await mkdtemp(join(tmpdir(), 'boot-'))
      try {
        const guest = await makeDebianGuest(place, 2048, aptSources())
        await using overlay = await createOverlay(await diskAt(guest.path), join(place, 'overlay'))
        const edit = { settings: { providerPaths: [], firstBootScript: undefined }, looks: [], work: place }
        const steps = scrubSteps().filter(({ generalizes }) => generalizes)
        const planted = await standing(guest.secrets, guest.path)

        await fastEditor(await openJail('strict')).edit(overlay, { ...edit, steps }, NEVER)
        const { extents } = await search(overlay)
        const scrubbed = join(place, 'scrubbed.raw')
        await writeDisk(new ZeroedDisk(overlay, extents), scrubbed)
        const said = await bootGuest(scrubbed, 'raw', guest, AbortSignal.timeout(6 * MINUTE_MS))

        expect(planted).toEqual(guest.secrets)
        expect(await standing(guest.secrets, scrubbed)).toEqual([])
        await tool('e2fsck', '-fn', `${scrubbed}?offset=${guest.offset}`)
        expect(said).toMatch(/login: ?$/)
      } finally {
        await rm(place, { recursive: true, force: true })
      }
    },
    12 * MINUTE_MS
  )
})
