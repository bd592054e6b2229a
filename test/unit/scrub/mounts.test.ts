import { mkdir, open, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { MiB } from '../../../src/domain/bytes.ts'
import { LEFT } from '../../../src/scrub/left.ts'
import { Workshop } from '../disks/workshop.ts'
import { empty, remove, scrubGuest, secretsIn, step, wanting } from './linux-guest.ts'
import { describeWithTools, tool, toolWithInput } from './tools.ts'

const VAR_UUID = '11111111-2222-3333-4444-555555555555'

let workshop: Workshop
beforeAll(async () => {
  workshop = await Workshop.open()
})
afterAll(() => workshop[Symbol.asyncDispose]())

/** A disk with a root and two other file systems: /var and one called `homes`. */
async function threePartitions(name: string, fstab: string): Promise<string> {
  const path = workshop.path(name)
  const file = await open(path, 'w')
  await file.truncate(80 * MiB)
  await file.close()
  const layout = ['label: gpt', 'start=2048,size=49152', 'start=53248,size=40960', 'start=96256,size=40960', '']
  await toolWithInput(layout.join('\n'), 'sfdisk', '-q', path)
  const put = async (tree: string, files: Readonly<Record<string, string>>) => {
    for (const [at, content] of Object.entries(files)) {
      const target = join(workshop.path(`${name}-${tree}`), at)
      await mkdir(join(target, '..'), { recursive: true })
      await writeFile(target, content)
    }
    return workshop.path(`${name}-${tree}`)
  }
  const root = await put('root', {
    'etc/fstab': fstab,
    'etc/os-release': 'NAME=x\n',
    'var/hidden': 'SECRET-hidden',
    'home/.keep': ''
  })
  const variable = await put('var', { 'log/syslog': 'SECRET-log', kept: 'kept' })
  const homes = await put('homes', { 'user/.bash_history': 'SECRET-history', 'user/notes': 'kept' })
  const make = (tree: string, sector: number, ...options: readonly string[]) =>
    tool('mke2fs', '-q', '-F', '-t', 'ext4', '-d', tree, '-E', `offset=${sector * 512}`, ...options, path, '20M')
  await make(root, 2048)
  await make(variable, 53248, '-U', VAR_UUID)
  await make(homes, 96256, '-L', 'homes')
  return path
}

const CLEAN = wanting(empty('/var/log'), remove('/home/user/.bash_history'))
const USUAL = `/dev/sda1 / ext4 defaults 0 1
# a comment
UUID=${VAR_UUID} /var ext4 defaults 0 2
LABEL=homes /home/ auto defaults 0 2
proc /proc proc defaults 0 0
UUID=1234-5678 /boot/efi vfat umask=0077 0 1
`

describeWithTools(['mke2fs', 'e2fsck', 'sfdisk', 'bwrap'], 'file systems that a guest mounts', () => {
  it('are changed where its fstab mounts them', async () => {
    const path = await threePartitions('usual', USUAL)
    const seen: string[] = []
    const looking = step('looking', async function* (files) {
      for (const folder of ['/', '/var', '/home/user']) {
        for (const { name, kind } of await files.list(folder)) seen.push(`${folder}: ${name} ${kind}`)
      }
      yield* []
    })

    await scrubGuest(path, `${path}-scrubbed`, [CLEAN, looking])

    expect(await secretsIn(`${path}-scrubbed`)).toEqual(['SECRET-hidden'])
    expect(seen).toEqual(expect.arrayContaining(['/: var folder', '/var: kept file', '/home/user: notes file']))
    expect(seen).not.toContain('/var: hidden file')
  })

  it('are told to be left where nothing mounts them', async () => {
    const path = await threePartitions('unmounted', USUAL.replace(/LABEL=homes.*\n/, ''))

    const { left } = await scrubGuest(path, `${path}-scrubbed`, [CLEAN])

    expect([...(left ?? [])]).toEqual([[96256 * 512, LEFT.unmounted]])
    expect(await secretsIn(`${path}-scrubbed`)).toEqual(['SECRET-hidden', 'SECRET-history'])
  })

  it.each([
    ['by its device', USUAL.replace(`UUID=${VAR_UUID}`, '/dev/vda2')],
    ['by a path', USUAL.replace(`UUID=${VAR_UUID}`, `/dev/disk/by-uuid/${VAR_UUID}`)]
  ])('are found %s', async (_how, fstab) => {
    const path = await threePartitions('named', fstab)

    await scrubGuest(path, `${path}-scrubbed`, [CLEAN])

    expect(await secretsIn(`${path}-scrubbed`)).toEqual(['SECRET-hidden'])
  })

  it.each([
    ['a mount that cannot be told', USUAL.replace('LABEL=homes', 'PARTUUID=aa-bb'), 'mounts-unclear', [CLEAN]],
    ['two mounts at one place', USUAL.replace('/home/', '/var'), 'mounts-unclear', [CLEAN]],
    ['a folder to be removed in which another lies', USUAL, 'mount-inside', [wanting(remove('/'))]]
  ] as const)('are left to others with %s', async (_what, fstab, rule, steps) => {
    const path = await threePartitions('unclear', fstab)

    await expect(scrubGuest(path, `${path}-scrubbed`, steps)).rejects.toMatchObject({ rule })
  })

  it('are not changed while the guest is suspended: its memory knows them as they are', async () => {
    const path = await threePartitions('suspended', USUAL.replace(/LABEL=homes.*\n/, ''))
    await using file = await open(path, 'r+')
    await file.write(Buffer.alloc(8192), 0, 8192, 96256 * 512)
    await file.write('S1SUSPEND', 96256 * 512 + 4086)

    await expect(scrubGuest(path, `${path}-scrubbed`, [CLEAN])).rejects.toMatchObject({ rule: 'hibernated' })
  })
})
