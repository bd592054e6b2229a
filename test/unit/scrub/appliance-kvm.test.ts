import { existsSync } from 'node:fs'
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ownAccount } from '../../../src/scrub/appliance/account.ts'
import { askedOnce, kvmWorks } from '../../../src/scrub/appliance/kvm.ts'
import { describeWithTools } from './tools.ts'

const SOON_MS = 1000
const MINUTE_MS = 60_000

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvm-test-'))
  await chmod(folder, 0o777)
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** A program in the place of qemu. */
async function fake(name: string, script: string): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 })
  return path
}
const ask = (qemu: string, limitMs = MINUTE_MS) => kvmWorks({ folder, account: ownAccount(), limitMs, qemu })
const left = async () => (await readdir(folder)).filter((name) => name.startsWith('kvm-'))

describeWithTools(['setpriv'], 'KVM', () => {
  it('works where a machine on it has run its program', async () => {
    const said = join(folder, 'arguments')
    const works = await ask(await fake('works', `echo "$@" >${said}; exit 85`))

    expect(works).toBe(true)
    expect(await readFile(said, 'utf8')).toContain('-accel kvm')
    expect(await left()).toEqual([])
  })

  it.each([
    ['there is none', 'echo "Could not access KVM kernel module" >&2; exit 1'],
    ['the machine ends without a word', 'exit 0'],
    ['the machine is ended', 'kill -9 $$']
  ])('does not work where %s', async (_why, script) => {
    expect(await ask(await fake('fails', script))).toBe(false)
    expect(await left()).toEqual([])
  })

  it('does not work where there is no qemu', async () => {
    expect(await ask(join(folder, 'missing'))).toBe(false)
  })

  it(
    'does not work where the machine hangs, which is ended then with all that it has started',
    async () => {
      const pids = join(folder, 'pids')
      const hangs = `trap '' TERM; sh -c 'trap "" TERM; echo $$ >>${pids}; while :; do sleep 1; done' & echo $$ >>${pids}; while :; do sleep 1; done`

      const works = await ask(await fake('hangs', hangs), SOON_MS)

      expect(works).toBe(false)
      const started = (await readFile(pids, 'utf8')).trim().split('\n')
      expect(started).toHaveLength(2)
      expect(started.filter((pid) => existsSync(`/proc/${pid}/cwd`))).toEqual([])
    },
    MINUTE_MS
  )

  it('is asked for once', async () => {
    const asked = join(folder, 'asked')
    const qemu = await fake('counts', `echo again >>${asked}; exit 85`)
    const works = askedOnce(() => ask(qemu))

    const answers = await Promise.all([works(), works()])

    expect([...answers, await works()]).toEqual([true, true, true])
    expect(await readFile(asked, 'utf8')).toBe('again\n')
  })

  it('is asked for again where it could not be asked for', async () => {
    const answers = [Promise.reject(new Error('no room')), Promise.resolve(true)]
    const works = askedOnce(() => answers.shift() ?? Promise.resolve(false))

    await expect(works()).rejects.toThrow('no room')
    expect([await works(), await works()]).toEqual([true, true])
  })
})

const describeOnPc = process.arch === 'x64' ? describe : describe.skip
describeOnPc('the machine that proves it', () => {
  describeWithTools(['setpriv', 'qemu-system-x86_64'], 'with an emulated processor', () => {
    it(
      'says its word and ends',
      async () => {
        const probe = { folder, account: ownAccount(), limitMs: MINUTE_MS, accelerator: 'tcg' } as const

        expect(await kvmWorks(probe)).toBe(true)
      },
      2 * MINUTE_MS
    )
  })
})
