import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { MiB } from '../../../src/domain/bytes.ts'
import { ScrubInvalid } from '../../../src/domain/scrub-errors.ts'
import { Secret } from '../../../src/domain/secret.ts'
import { createOverlay } from '../../../src/scrub/create-overlay.ts'
import { fileSystems } from '../../../src/scrub/filesystems/registry.ts'
import type { Edit, Edited, GuestEditor } from '../../../src/scrub/guest-editor.ts'
import { checkScrub, planScrub } from '../../../src/scrub/profiles.ts'
import { scrubSteps } from '../../../src/scrub/registry.ts'
import { scrub } from '../../../src/scrub/scrub.ts'
import { RULES } from '../../support/scrub-policy.ts'
import { diskOf } from './guest-disk.ts'

/** A whole disk that only an editor can read, all of it data. */
const luksDisk = () => {
  const bytes = Buffer.alloc(4 * MiB, 1)
  bytes.write('LUKS\xba\xbe', 'latin1')
  return diskOf(bytes)
}

/** Runs an editor that makes zeros of one MiB, and says of LUKS what it is told to. */
async function run(erased: Edited['erased'], name: GuestEditor['name'] = 'appliance') {
  const work = await mkdtemp(join(tmpdir(), 'erased-'))
  try {
    await using disk = await luksDisk()
    let seen: Edit['diskKey']
    const editor: GuestEditor = {
      name,
      async edit(overlay, { diskKey }) {
        seen = diskKey
        await overlay.zero(MiB, MiB)
        return { guest: { kind: 'linux' }, steps: [], tools: {}, ...(erased && { erased }) }
      }
    }
    const plan = planScrub({ profile: 'generalize' }, undefined, RULES, scrubSteps())
    const uses = {
      editors: [editor],
      fileSystems: fileSystems(),
      overlay: createOverlay,
      folder: async () => join(work, 'folder'),
      diskKey: new Secret('the key'),
      clock: () => 0,
      tell: () => {}
    }
    const { disk: scrubbed, report } = await scrub(disk, plan, uses, AbortSignal.timeout(10_000))
    await scrubbed[Symbol.asyncDispose]()
    return { key: seen?.unwrap(), ...report }
  } finally {
    await rm(work, { recursive: true })
  }
}

describe('free space that only an editor can read', () => {
  it('is what it has made zeros of, and counts as freed', async () => {
    const { partitions, freedBytes } = await run(new Map([['luks', null]]))

    expect(partitions).toEqual([{ offset: 0, bytes: 4 * MiB, fileSystem: 'luks', freeBytes: MiB }])
    expect(freedBytes).toBe(MiB)
  })

  it('is told with why where it was left', async () => {
    const { partitions } = await run(new Map([['luks', 'it holds what is not read (not-read)']]))

    expect(partitions).toMatchObject([{ freeBytes: 0, why: 'it holds what is not read (not-read)' }])
  })

  it('is not known where the editor says nothing of it', async () => {
    expect((await run(undefined)).partitions).toMatchObject([
      { freeBytes: 0, why: expect.stringContaining('not-read') }
    ])
  })
})

describe('a disk key', () => {
  it('is given to the editor', async () => {
    expect((await run(undefined)).key).toBe('the key')
  })

  it('makes another disk of the same image', () => {
    const identity = (keyed: object) =>
      planScrub({ profile: 'generalize', ...keyed }, undefined, RULES, scrubSteps()).identity

    expect(identity({ keyed: true })).not.toEqual(identity({}))
  })

  it.each(['none', 'metadata'] as const)('is refused with the profile %s, which opens no disk', (profile) => {
    const check = () => checkScrub({ profile, keyed: true }, undefined, RULES, scrubSteps())

    expect(check).toThrow(ScrubInvalid)
    expect(check).toThrow(expect.objectContaining({ pointer: '/scrub/disk_key' }))
  })
})
