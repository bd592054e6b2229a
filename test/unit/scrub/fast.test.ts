import { createHash } from 'node:crypto'
import { copyFile, readFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Workshop } from '../disks/workshop.ts'
import { contents, debugfs } from './ext-maker.ts'
import {
  CLEANING,
  empty,
  linuxTree,
  makeBareGuest,
  makeGuest,
  offsetOf,
  PARTITION_AT,
  remove,
  scrubGuest,
  secretsIn,
  step,
  wanting,
  write
} from './linux-guest.ts'
import { stop } from './stopped.ts'
import { describeWithTools, tool } from './tools.ts'

const KINDS: readonly (readonly [string, readonly string[]])[] = [
  ['ext4', ['-t', 'ext4']],
  ['ext4 with 1 KiB blocks', ['-t', 'ext4', '-b', '1024']],
  ['ext4 without checksums', ['-t', 'ext4', '-O', '^metadata_csum,^64bit']],
  ['ext4 with everything of today', ['-t', 'ext4', '-O', 'metadata_csum_seed,orphan_file']],
  ['ext4 without a journal', ['-t', 'ext4', '-O', '^has_journal']],
  ['ext3', ['-t', 'ext3']],
  ['ext2', ['-t', 'ext2']],
  ['ext2 of 1 KiB', ['-t', 'ext2', '-b', '1024', '-I', '128']]
]

let workshop: Workshop
let tree: string
let plain: string
beforeAll(async () => {
  workshop = await Workshop.open()
  tree = await linuxTree(workshop.path('tree'))
  plain = await makeGuest(workshop, 'plain', 64, tree, ['-t', 'ext4'])
})
afterAll(() => workshop[Symbol.asyncDispose]())

const sha = async (path: string) =>
  createHash('sha256')
    .update(await readFile(path))
    .digest('hex')

/** Digests of all files of the guest by their paths, as e2fsprogs read them. */
async function filesOf(path: string): Promise<Record<string, string>> {
  const bytes = await readFile(path)
  const alone = await workshop.write(`${path.split('/').at(-1)}-alone`, bytes.subarray(PARTITION_AT))
  return contents(workshop, alone)
}

const checked = (path: string): Promise<string> => tool('e2fsck', '-fn', offsetOf(path))
const ask = (path: string, question: string): Promise<string> => tool('debugfs', '-R', question, offsetOf(path))

describeWithTools(['mke2fs', 'debugfs', 'e2fsck', 'bwrap'], 'the fast path', () => {
  it.each(KINDS)('rids %s of every secret, and of nothing else', async (kind, options) => {
    const path = await makeGuest(workshop, kind.replaceAll(' ', '-'), 64, tree, options)
    const before = await sha(path)
    expect((await secretsIn(path)).length).toBeGreaterThan(12)

    const { guest, steps, tools, overlayBytes } = await scrubGuest(path, `${path}-scrubbed`)

    expect(await secretsIn(`${path}-scrubbed`)).toEqual([])
    expect(await sha(path)).toBe(before)
    expect(guest).toEqual({ kind: 'linux', name: 'Small Linux 1 (test)' })
    expect(steps.map(({ id, changed }) => [id, changed])).toEqual([
      ['logs', true],
      ['identity', true],
      ['users', true]
    ])
    expect(tools.e2fsck).toMatch(/^\d/)
    expect(overlayBytes).toBeLessThan(20 * 2 ** 20)
    await expect(checked(`${path}-scrubbed`)).resolves.toContain('files')
  })

  it('keeps every other file byte for byte, and counts what it has changed', async () => {
    const before = await filesOf(plain)

    const { steps } = await scrubGuest(plain, `${plain}-scrubbed`)

    const after = await filesOf(`${plain}-scrubbed`)
    const gone = Object.keys(before).filter((path) => !(path in after))
    expect(gone.filter((path) => !path.startsWith('var/log/')).sort()).toEqual([
      'home/user/.aws/credentials',
      'root/.bash_history',
      'root/.ssh/id_ed25519',
      'srv/once'
    ])
    const changed = Object.keys(after).filter((path) => after[path] !== before[path])
    expect(changed.sort()).toEqual(['etc/first-boot', 'etc/machine-id', 'etc/shadow', 'swapfile'])
    // 300 logs and syslog; links and its six; two folders.
    expect(steps[0]?.files).toBe(300 + 1 + 6 + 2)
    expect(steps[2]).toMatchObject({ files: 6, bytes: 2000 * 24 + 10 + 12 + 12 + 20_000 * 15 })
  })

  it('writes files with their owner and mode, and new ones as root', async () => {
    await scrubGuest(plain, `${plain}-written`, [
      wanting(
        write('/etc/shadow', 'root:!:\n'),
        write('/etc/new', 'x'.repeat(10_000), 0o750),
        write('/etc/linked', 'no link any more\n', 0o600)
      )
    ])

    const path = `${plain}-written`
    expect(await ask(path, 'cat /etc/shadow')).toBe('root:!:\n')
    expect(await ask(path, 'cat /etc/new')).toBe('x'.repeat(10_000))
    expect(await ask(path, 'cat /etc/hostname')).toBe('kept-host\n')
    expect(await ask(path, 'cat /etc/linked')).toBe('no link any more\n')
    expect(await ask(path, 'stat /etc/new')).toMatch(/Type: regular\s+Mode:\s+0750[\s\S]*User:\s+0\s+Group:\s+0\b/)
    await expect(checked(path)).resolves.toContain('files')
  })

  it('writes where its own check does not, which lays large folders out anew', async () => {
    const path = workshop.path('full')
    // As mke2fs leaves it: nothing is free before the end, and large folders have no index.
    await tool('mke2fs', '-q', '-F', '-t', 'ext4', '-b', '4096', '-d', tree, path, '48M')
    const before = await contents(workshop, path)

    await scrubGuest(path, `${path}-scrubbed`, [wanting(write('/etc/shadow', 'root:!:\n'), write('/etc/new', 'new'))])

    const after = await contents(workshop, `${path}-scrubbed`)
    const changed = Object.keys(after).filter((name) => after[name] !== before[name])
    expect(changed.sort()).toEqual(['etc/new', 'etc/shadow'])
    expect(Object.keys(after)).toHaveLength(Object.keys(before).length + 1)
    expect(await tool('debugfs', '-R', 'cat /etc/shadow', `${path}-scrubbed`)).toBe('root:!:\n')
  })

  it('shows a step what the steps before it have made, and looks at the end', async () => {
    const seen: unknown[] = []
    const looking = step('looking', async function* (files) {
      seen.push(await files.stat('/etc/machine-id'), await files.read('/etc/new', 100), await files.stat('/root/.ssh'))
      seen.push(await files.read('/usr/lib/large', 100), await files.read('/etc/linked', 100))
      seen.push((await files.list('/var/log')).map(({ name, kind }) => [name, kind]))
      yield remove('/etc/hostname')
    })
    const looks = [
      async (files: Parameters<typeof looking.changes>[0]) => {
        seen.push(await files.stat('/etc/hostname'))
      }
    ]

    await scrubGuest(
      plain,
      `${plain}-seen`,
      [
        wanting(empty('/etc/machine-id'), write('/etc/new', 'hello'), remove('/root/.ssh'), empty('/var/log/journal')),
        looking
      ],
      looks
    )

    expect(seen).toEqual([
      { name: 'machine-id', kind: 'file', bytes: 0, mode: 0o644, uid: 0, gid: 0 },
      Buffer.from('hello'),
      undefined,
      undefined,
      undefined,
      expect.arrayContaining([
        ['journal', 'folder'],
        ['syslog', 'file']
      ]),
      undefined
    ])
  })

  it('gives the same bytes and the same digest each time', async () => {
    const first = await scrubGuest(plain, `${plain}-1`)
    const second = await scrubGuest(plain, `${plain}-2`)

    expect(second.digest).toBe(first.digest)
    expect(await sha(`${plain}-2`)).toBe(await sha(`${plain}-1`))
    expect((await scrubGuest(plain, `${plain}-3`, CLEANING.slice(1))).digest).not.toBe(first.digest)
  })

  it('forgets what was deleted by the guest itself, names and short links included', async () => {
    const path = `${plain}-deleted`
    await copyFile(plain, path)
    await debugfs(workshop, offsetOf(path), ['mkdir /srv/SECRET-folder', 'rmdir /srv/SECRET-folder'])
    await debugfs(workshop, offsetOf(path), ['symlink /usr/gone SECRET-pointed', 'rm /usr/gone', 'rm /var/log/syslog'])
    expect(await secretsIn(path)).toEqual(expect.arrayContaining(['SECRET-folder', 'SECRET-pointed', 'SECRET-syslog']))

    // A new file would take the place of the one that was deleted last.
    const steps = CLEANING.filter(({ id }) => id !== 'identity')
    await scrubGuest(path, `${path}-scrubbed`, steps)

    expect(await secretsIn(`${path}-scrubbed`)).toEqual(['SECRET-hash', 'SECRET-machine'])
  })
})

describeWithTools(['mke2fs', 'debugfs', 'e2fsck', 'bwrap'], 'a guest that was running', () => {
  it('has what its journal holds in its files, and nothing of it left', async () => {
    const path = await makeBareGuest(workshop, 'running', 48, tree, ['-t', 'ext4', '-b', '1024'])
    const late = await workshop.write('late', Buffer.from('SECRET-late\n'.repeat(500)))
    await stop(workshop, path, [
      ['mkdir /var/log/late', `write ${late} /var/log/late/SECRET-latefile`],
      [`write ${late} /srv/overwritten`, 'rm /usr/share/many/file-7', 'mkdir /srv/kept'],
      ['rm /srv/overwritten']
    ])
    expect(await secretsIn(path)).toEqual(expect.arrayContaining(['SECRET-late', 'SECRET-latefile']))

    const { steps } = await scrubGuest(path, `${path}-scrubbed`)

    expect(await secretsIn(`${path}-scrubbed`)).toEqual([])
    expect(steps[0]?.files).toBe(300 + 1 + 6 + 2 + 2)
    await expect(tool('e2fsck', '-fn', `${path}-scrubbed`)).resolves.toContain('files')
    expect(await tool('debugfs', '-R', 'ls -p /srv', `${path}-scrubbed`)).toContain('/kept/')
    expect(await tool('debugfs', '-R', 'stat /usr/share/many/file-7', `${path}-scrubbed`)).toBe('')
  })

  it.each([
    ['in a list', ['-O', '^orphan_file'], (inode: string) => [`ssv last_orphan ${inode}`]],
    ['in a file of their own', ['-O', 'orphan_file'], () => ['feature orphan_present']]
  ])('loses files that were deleted while they were open, which it keeps %s', async (_where, options, note) => {
    const path = await makeBareGuest(workshop, 'orphans', 48, tree, ['-t', 'ext4', '-b', '1024', ...options])
    const open = await workshop.write('open', Buffer.from('SECRET-open\n'.repeat(500)))
    await debugfs(workshop, path, [`write ${open} /srv/open`])
    const [, inode = ''] = /Inode: (\d+)/.exec(await tool('debugfs', '-R', 'stat /srv/open', path)) ?? []
    await debugfs(workshop, path, ['unlink /srv/open', `sif <${inode}> links_count 0`, ...note(inode)])

    await scrubGuest(path, `${path}-scrubbed`)

    expect(await secretsIn(`${path}-scrubbed`)).toEqual([])
    await expect(tool('e2fsck', '-fn', `${path}-scrubbed`)).resolves.toContain('files')
  })
})

describeWithTools(['mke2fs', 'debugfs', 'e2fsck', 'bwrap'], 'what a guest may try', () => {
  it('names of any bytes are removed as they are, and nothing else', async () => {
    const path = `${plain}-names`
    await copyFile(plain, path)
    await debugfs(workshop, offsetOf(path), [
      'mkdir /var/names',
      'mkdir "/var/names/<2>"',
      'mkdir "/var/names/SECRET-a ""quote"""',
      'mkdir "/var/names/$(touch x)"',
      'mkdir "/var/names/-R rm"',
      'write /etc/hostname /var/names/plain'
    ])
    // A name with a newline and one that is no UTF-8 cannot be said to debugfs.
    const bytes = await readFile(path)
    const at = bytes.indexOf('-R rm')
    Buffer.from('\n\xff rm', 'latin1').copy(bytes, at)
    await workshop.write(path.split('/').at(-1) ?? '', bytes)
    await tool('e2fsck', '-fyD', offsetOf(path)).catch(() => {})
    const names: string[] = []
    const all = step('all', async function* (files) {
      for (const { name } of await files.list('/var/names')) {
        names.push(name)
        yield remove(`/var/names/${name}`)
      }
    })

    await scrubGuest(path, `${path}-scrubbed`, [all])

    expect(names.sort()).toEqual(['\n\xff rm', '$(touch x)', '<2>', 'SECRET-a "quote"', 'plain'].sort())
    expect(await ask(`${path}-scrubbed`, 'ls -p /var/names')).not.toMatch(/plain|touch|quote/)
    expect(await ask(`${path}-scrubbed`, 'cat /etc/hostname')).toBe('kept-host\n')
    await expect(checked(`${path}-scrubbed`)).resolves.toContain('files')
  })

  it.each([
    ['a link to a folder is not followed', remove('/etc/via/passwd')],
    ['dots lead nowhere', remove('/var/../etc/hostname')],
    ['what is not there', remove('/etc/nothing')],
    ['a file is no folder', empty('/etc/hostname/x')]
  ])('%s', async (_what, change) => {
    const path = `${plain}-link`
    await copyFile(plain, path)
    await debugfs(workshop, offsetOf(path), ['symlink /etc/via /usr/lib'])

    const edited = scrubGuest(path, `${path}-scrubbed`, [wanting(change)])

    if (change.path.includes('..')) await expect(edited).rejects.toMatchObject({ rule: 'path' })
    else expect((await edited).steps).toEqual([{ id: 'wanting', changed: false, files: 0, bytes: 0 }])
  })
})
