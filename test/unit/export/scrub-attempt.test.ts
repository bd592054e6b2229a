import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { SecretFound } from '../../../src/domain/scrub-report.ts'
import { checksOf, type Subject } from '../../../src/export/checks/preflight.ts'
import type { GuestEditor } from '../../../src/scrub/guest-editor.ts'
import type { OverlayDisk } from '../../../src/scrub/overlay-disk.ts'
import { planScrub } from '../../../src/scrub/profiles.ts'
import { Refused } from '../../../src/scrub/refused.ts'
import { scrubSteps } from '../../../src/scrub/registry.ts'
import { Scratch } from '../../../src/scrub/scratch.ts'
import { memoryDestination } from '../../support/memory-destination.ts'
import { MemoryGuest } from '../../support/memory-guest.ts'
import { RULES, scrubPolicy } from '../../support/scrub-policy.ts'
import { IMAGE, oneTask, testEngine } from './one-task.ts'

const MARK = Buffer.from('changed by an editor')
const GENERALIZE = { scrub: { profile: 'generalize' } } as const

/** Changes the first bytes of the disk, and finds a guest with these files. */
const editor = (files: Record<string, string> = {}, seen: OverlayDisk[] = []): GuestEditor => ({
  name: 'fast',
  async edit(disk, { steps, looks }, signal) {
    seen.push(disk)
    await disk.write(MARK, 0)
    for (const look of looks) await look(new MemoryGuest(files), signal)
    return {
      guest: { kind: 'linux' },
      steps: steps.map(({ id }) => ({ id, changed: false, files: 0, bytes: 0 })),
      tools: {}
    }
  }
})
const refusing: GuestEditor = {
  name: 'fast',
  async edit() {
    throw new Refused('no-root', 'it has no root')
  }
}

describe('an attempt with a scrub', () => {
  const engine = testEngine()
  let root: string
  let scratch: Scratch
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'scrub-attempt-'))
    scratch = new Scratch({ root, host: 'here', pid: process.pid, reserveBytes: 0 })
  })
  afterEach(() => rm(root, { recursive: true }))

  const leftovers = async () => (await readdir(root, { recursive: true })).filter((name) => name.includes('/'))

  it('sends the changed disk, writes down what was done, and leaves nothing behind', async () => {
    const place = memoryDestination()
    const seen: OverlayDisk[] = []
    const editors = [editor({}, seen)]
    const task = oneTask(place.destination, engine, { options: GENERALIZE, scrub: { scratch, editors } })

    await task.runOnce()

    expect(task.row).toMatchObject({ status: 'success', scrubReport: { profile: 'generalize', path: 'fast' } })
    const sent = place.objects.get(task.url)?.bytes
    expect(sent?.subarray(0, MARK.length)).toEqual(MARK)
    expect(sent?.subarray(MARK.length).equals(IMAGE.subarray(MARK.length))).toBe(true)
    expect(await leftovers()).toEqual([])
    await expect(seen[0]?.write(MARK, 0), 'closed').rejects.toThrow()
  })

  it('warns of partitions with files that no step has seen', async () => {
    const place = memoryDestination()
    const looking = editor()
    const left = new Map([[0, 'nothing mounts it']])
    const leaving: GuestEditor = { ...looking, edit: async (...about) => ({ ...(await looking.edit(...about)), left }) }
    const task = oneTask(place.destination, engine, { options: GENERALIZE, scrub: { scratch, editors: [leaving] } })

    await task.runOnce()

    expect(task.row.scrubReport?.partitions).toMatchObject([{ filesLeft: 'nothing mounts it' }])
    expect(task.row.warnings).toContainEqual(expect.objectContaining({ code: 'FILES_LEFT' }))
  })

  it('reads back what it has changed, not what the image holds', async () => {
    const place = memoryDestination()
    const task = oneTask(place.destination, engine, {
      options: { ...GENERALIZE, verify: 'ranges' },
      scrub: { scratch, editors: [editor()] }
    })

    await task.runOnce()

    expect(task.row).toMatchObject({ status: 'success', result: { verify: { level: 'ranges', ok: true } } })
  })

  it('fails when it may not go on without, and sends nothing', async () => {
    const place = memoryDestination()
    const task = oneTask(place.destination, engine, { options: GENERALIZE, scrub: { scratch, editors: [refusing] } })

    await task.runOnce()

    expect(task.row).toMatchObject({
      status: 'failure',
      failure: { code: 'SCRUB_OS_UNRECOGNIZED', phase: 'scrubbing', retriable: false }
    })
    expect(place.objects.size).toBe(0)
    expect(await leftovers()).toEqual([])
  })

  it('goes on without where that is the policy, and says so', async () => {
    const place = memoryDestination()
    const task = oneTask(place.destination, engine, {
      options: GENERALIZE,
      scrub: { scratch, editors: [refusing], rules: { unknownGuest: 'skip' } }
    })

    await task.runOnce()

    expect(task.row).toMatchObject({
      status: 'success',
      scrubReport: {
        path: 'none',
        steps: expect.arrayContaining([expect.objectContaining({ skipped: 'it has no root (no-root)' })])
      },
      warnings: expect.arrayContaining([expect.objectContaining({ code: 'SCRUB_SKIPPED' })])
    })
  })

  it('refuses to let secrets out where that is the policy, and says where they are', async () => {
    const place = memoryDestination()
    const secrets: SecretFound[] = [{ rule: 'netrc', path: '/root/.netrc' }]
    const editors = [editor({ '/root/.netrc': 'machine a login b password hunter2' })]
    const task = oneTask(place.destination, engine, {
      options: GENERALIZE,
      scrub: { scratch, editors, rules: { secrets: 'refuse' } }
    })

    await task.runOnce()

    expect(task.row).toMatchObject({ status: 'failure', failure: { code: 'SECRETS_FOUND' }, scrubReport: { secrets } })
    expect(task.row.message).toContain('1 secret was found in the guest (netrc)')
    expect(JSON.stringify(task.row)).not.toContain('hunter2')
    expect(place.objects.size).toBe(0)
    expect(await leftovers()).toEqual([])
  })

  it('does not send what a rule keeps here by now', async () => {
    const place = memoryDestination()
    const task = oneTask(place.destination, engine, {
      facts: { visibility: 'public' },
      scrub: { deny: [{ name: 'visibility', value: 'public' }] }
    })

    await task.runOnce()

    expect(task.row).toMatchObject({ status: 'failure', failure: { code: 'IMAGE_NOT_EXPORTABLE', actor: 'operator' } })
    expect(task.row.message).toContain('visibility=public')
    expect(place.objects.size).toBe(0)
  })

  it('scrubs what its image wants scrubbed by now', async () => {
    const place = memoryDestination()
    const task = oneTask(place.destination, engine, {
      facts: { properties: { export_scrub: 'generalize' } },
      scrub: { scratch, editors: [editor()] }
    })

    await task.runOnce()

    expect(task.row).toMatchObject({ status: 'success', scrubReport: { profile: 'generalize' } })
  })

  it('waits where there is no room for its changes, and the attempt is not counted', async () => {
    const full = new Scratch({ root, host: 'here', pid: process.pid, reserveBytes: Number.MAX_SAFE_INTEGER })
    const task = oneTask(memoryDestination().destination, engine, {
      options: GENERALIZE,
      scrub: { scratch: full, editors: [editor()] }
    })

    await task.runOnce()

    expect(task.row.status).toBe('queued')
    expect(task.row.released).toMatchObject([{ countAttempt: false, message: expect.stringContaining('no room') }])
  })

  it('does not take an unscrubbed file, or one that was scrubbed otherwise, for the same', async () => {
    const place = memoryDestination()
    const object = { key_template: 'disk.raw', if_exists: 'reuse' } as const
    const plain = oneTask(place.destination, engine, { options: { object } })
    const scrubbed = (disable: string[]) =>
      oneTask(place.destination, engine, {
        options: { object, scrub: { profile: 'generalize', disable } },
        scrub: { scratch, editors: [editor()] }
      })
    await plain.runOnce()
    const [other] = [scrubbed([])]
    await other.runOnce()
    expect(other.row).toMatchObject({ status: 'failure', failure: { code: 'DEST_OBJECT_EXISTS' } })

    place.objects.clear()
    const [first, same, third] = [scrubbed([]), scrubbed([]), scrubbed(['logs'])]
    await first.runOnce()
    await same.runOnce()
    await third.runOnce()

    expect(first.row.result?.reused).toBeUndefined()
    expect(same.row.result?.reused).toBe(true)
    expect(third.row.failure?.code).toBe('DEST_OBJECT_EXISTS')
  })

  it.each([
    ['generalize', 'tempurl:///virtual/disk.raw', 'SCRUB_REQUIRED'],
    ['generalize', 'tempurl:///staged/disk.raw', undefined],
    ['metadata', 'tempurl:///virtual/disk.raw', undefined]
  ] as const)('with %s of what is to be downloaded from %s: %s', async (profile, url, code) => {
    const scrub = planScrub({ profile }, undefined, RULES, scrubSteps())
    const where = { objectUrl: new URL(url) }
    const subject = { ...{ request: { options: { object: {}, limits: {} } } }, scrub, where } as Subject
    const ask = () => {
      for (const { id, run } of checksOf({ scrubPolicy: scrubPolicy() } as never, subject, {}))
        if (id === 'scrub') return run(AbortSignal.timeout(1000))
      throw new Error('there is no such check')
    }

    const asked = ask()

    await (code ? expect(asked).rejects.toMatchObject({ code }) : expect(asked).resolves.toBeDefined())
  })
})
