import { execFileSync } from 'node:child_process'
import { constants, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { link, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, symlink, unlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import type { UploadTarget } from '../../../src/destinations/destination.ts'
import { fileFailure } from '../../../src/destinations/file/failures.ts'
import { createFileDestination } from '../../../src/destinations/file/file.ts'
import { Folder } from '../../../src/destinations/file/folder.ts'
import { Place, projectFolder } from '../../../src/destinations/file/place.ts'
import { FileUpload } from '../../../src/destinations/file/upload.ts'
import { MiB } from '../../../src/domain/bytes.ts'
import { ownerId } from '../../../src/domain/ids.ts'
import { describeDestination } from '../../contracts/destination.contract.ts'
import { uploadTarget } from '../../support/upload-target.ts'

const filesBelow = (dir: string): string[] =>
  readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map(({ parentPath, name }) => join(parentPath, name).slice(dir.length + 1))

/** A root, and a folder beside it that nobody may get to. */
async function start(root?: string) {
  const base = await mkdtemp(join(tmpdir(), 'file-root-'))
  const outside = join(base, 'outside')
  await mkdir(outside)
  await mkdir(join(base, 'root'))
  const at = root ?? join(base, 'root')
  return {
    destination: createFileDestination({ root: at }),
    anotherWorker: () => createFileDestination({ root: at }),
    atomic: true,
    marks: false,
    root: at,
    outside,
    folder: join(at, 'project/some/path'),
    target: (length: number, changes: Partial<UploadTarget> = {}) =>
      uploadTarget('file:///some/path', length, undefined, changes),
    read: ({ url }: UploadTarget) => readFile(join(at, 'project', url.pathname)).catch(() => undefined),
    kept: () => filesBelow(at).length,
    breakNextPart() {
      throw new Error('a folder does not break')
    },
    [Symbol.asyncDispose]: () => rm(base, { recursive: true })
  }
}

describeDestination('file', () => start(), { faults: 'none' })

const never = new AbortController().signal
const whole = (length: number) => ({ number: 1, offset: 0, length })
async function* bytes(text: string) {
  yield Buffer.from(text)
}
const FORBIDDEN = { code: 'DEST_FORBIDDEN', permanent: true }

async function store(harness: Awaited<ReturnType<typeof start>>, target: UploadTarget, text: string) {
  const upload = await harness.destination.open(target, never)
  await upload.putPart(whole(text.length), bytes(text), never)
  return upload.commit(never)
}

describe('the folder of a project', () => {
  it('is another for every project, and one name in the root', () => {
    const owner = fc.oneof(
      fc.string({ unit: 'grapheme', maxLength: 300 }),
      fc.constantFrom('', '.', '..', '/', 'a/../b')
    )
    fc.assert(
      fc.property(owner, owner, (one, other) => {
        const [first, second] = [projectFolder(ownerId(one)), projectFolder(ownerId(other))]
        expect(first).toMatch(/^[A-Za-z0-9_%-]{1,200}$/)
        expect(first === second).toBe(one === other)
      })
    )
  })

  it.each(['demo', 'f2b9a5c1e0d94f0aa7e3b1c2d3e4f506', 'A_b-9'])('of %s has its name', (owner) => {
    expect(projectFolder(ownerId(owner))).toBe(owner)
  })

  it('keeps what others wrote to the same URL from it', async () => {
    await using harness = await start()
    const target = harness.target(4)
    await store(harness, target, 'mine')
    const theirs = { ...target, marks: { ...target.marks, owner: ownerId('../project') } }

    expect(await harness.destination.find(theirs, never)).toEqual({ status: 'absent' })
    await harness.destination.remove(theirs, never)
    await store(harness, theirs, 'ours')

    expect(filesBelow(harness.root).sort()).toEqual([
      `%2e%2e%2fproject${target.url.pathname}`,
      `project${target.url.pathname}`
    ])
    expect((await harness.read(target))?.toString()).toBe('mine')
  })

  it('is for the service alone', async () => {
    await using harness = await start()
    const target = harness.target(4)

    await store(harness, target, 'mine')

    const modes = [join(harness.root, 'project'), harness.folder, join(harness.root, 'project', target.url.pathname)]
    expect(await Promise.all(modes.map(async (path) => ((await stat(path)).mode & 0o777).toString(8)))).toEqual([
      '700',
      '700',
      '600'
    ])
  })
})

describe('a symbolic link', () => {
  it.each(['project', 'project/some', 'project/some/path'])('at %s is not followed', async (place) => {
    await using harness = await start()
    const link = join(harness.root, place)
    await mkdir(join(link, '..'), { recursive: true })
    await symlink(harness.outside, link)
    await mkdir(join(harness.outside, 'some/path'), { recursive: true })
    await mkdir(join(harness.outside, 'path'))
    const target = harness.target(4)

    await expect(harness.destination.open(target, never)).rejects.toMatchObject(FORBIDDEN)
    await expect(harness.destination.find(target, never)).rejects.toMatchObject(FORBIDDEN)
    await expect(harness.destination.remove(target, never)).rejects.toMatchObject(FORBIDDEN)
    for (const { run } of harness.destination.checks(target)) await expect(run(never)).rejects.toMatchObject(FORBIDDEN)
    expect(filesBelow(harness.outside)).toEqual([])
  })

  it.each([
    [false, 'DEST_OBJECT_EXISTS'],
    [true, undefined]
  ])('in place of the object is never written through (replace: %s)', async (replace, code) => {
    await using harness = await start()
    const target = harness.target(4, { object: { replace } })
    const victim = join(harness.outside, 'victim')
    await writeFile(victim, 'precious')
    await mkdir(harness.folder, { recursive: true })
    await symlink(victim, join(harness.root, 'project', target.url.pathname))

    const stored = await store(harness, target, 'mine').catch((error: unknown) => error)

    expect(stored).toMatchObject(code ? { code } : { location: target.url.href })
    expect(await readFile(victim, 'utf8')).toBe('precious')
    expect((await harness.read(target))?.toString()).toBe(replace ? 'mine' : 'precious')
  })

  it('in place of the object is not read, and removing it leaves what it points to', async () => {
    await using harness = await start()
    const target = harness.target(4)
    const victim = join(harness.outside, 'victim')
    await writeFile(victim, 'precious')
    await mkdir(harness.folder, { recursive: true })
    await symlink(victim, join(harness.root, 'project', target.url.pathname))

    const reading = harness.destination.read(target, { from: 0, to: 4 }, never)[Symbol.asyncIterator]()

    await expect(reading.next()).rejects.toMatchObject(FORBIDDEN)
    expect(await harness.destination.find(target, never)).toMatchObject({ status: 'present', length: undefined })
    await harness.destination.remove(target, never)
    expect(await harness.destination.find(target, never)).toEqual({ status: 'absent' })
    expect(await readFile(victim, 'utf8')).toBe('precious')
  })

  it('that takes the place of the unfinished file is not written through', async () => {
    await using harness = await start()
    const upload = await harness.destination.open(harness.target(4), never)
    const part = join(harness.folder, String(upload.state?.part))
    const victim = join(harness.outside, 'victim')
    await writeFile(victim, 'precious')
    await unlink(part)
    await symlink(victim, part)

    await expect(upload.putPart(whole(4), bytes('mine'), never)).rejects.toMatchObject(FORBIDDEN)
    await expect(upload.commit(never)).rejects.toMatchObject(FORBIDDEN)
    await upload.abort()

    expect(await readFile(victim, 'utf8')).toBe('precious')
    expect(await readdir(harness.folder)).toEqual([])
  })

  it.each(['before the first part', 'during a part', 'before it is published'])(
    'that takes the place of a folder %s leads nowhere',
    async (when) => {
      await using harness = await start()
      const swap = async () => {
        await rename(harness.folder, `${harness.folder}-moved`)
        await symlink(harness.outside, harness.folder)
      }
      const upload = await harness.destination.open(harness.target(8, { object: { replace: true } }), never)
      // An attacker who knows the unfinished file's name has put one where the link leads.
      await writeFile(join(harness.outside, String(upload.state?.part)), 'planted!')
      const body = async function* () {
        yield Buffer.from('mine')
        if (when === 'during a part') await swap()
        yield Buffer.from('more')
      }

      if (when === 'before the first part') await swap()
      const sent = upload.putPart(whole(8), body(), never).catch((error: unknown) => error)
      if (when === 'before the first part') expect(await sent).toMatchObject(FORBIDDEN)
      else expect(await sent).toEqual({ number: 1, bytes: 8 })
      if (when === 'before it is published') await swap()

      await expect(upload.commit(never)).rejects.toMatchObject(FORBIDDEN)
      await expect(upload.abort()).rejects.toMatchObject(FORBIDDEN)
      expect(filesBelow(harness.outside)).toEqual([upload.state?.part])
      expect(await readFile(join(harness.outside, String(upload.state?.part)), 'utf8')).toBe('planted!')
    }
  )
})

describe('a path', () => {
  it.each([
    'file:///a/%2Fetc',
    'file:///a%2F..%2F..%2Fetc/x',
    'file:///a/%00',
    'file:///a/%ff',
    `file:///a/${'b'.repeat(201)}`,
    'file:///a//b',
    'file:///a/',
    'file:///'
  ])('%s is refused', async (url) => {
    await using harness = await start()

    expect(() => harness.destination.check(new URL(url), undefined)).toThrow(
      expect.objectContaining({ code: 'DEST_URL_INVALID', pointer: '/export_to' })
    )
  })

  it('of dots cannot be made by percent-encoding twice', async () => {
    await using harness = await start()
    const target = { ...harness.target(4), url: new URL('file:///%252e%252e/x') }

    await store(harness, target, 'mine')

    expect(filesBelow(harness.root)).toEqual(['project/%2e%2e/x'])
  })

  it('takes no credentials', async () => {
    await using harness = await start()

    expect(() => harness.destination.check(harness.target(1).url, { kind: 'basic' })).toThrow(
      expect.objectContaining({ code: 'DEST_CREDENTIALS_INVALID' })
    )
  })

  it('to a pipe is refused, and nobody waits for its other end', async () => {
    await using harness = await start()
    const target = harness.target(4)
    await mkdir(harness.folder, { recursive: true })
    execFileSync('mkfifo', [join(harness.root, 'project', target.url.pathname)])

    const reading = harness.destination.read(target, { from: 0, to: 4 }, never)[Symbol.asyncIterator]()

    await expect(reading.next()).rejects.toMatchObject(FORBIDDEN)
  })
})

describe('publishing', () => {
  it('fails when an object of the name has appeared, which stays as it is', async () => {
    await using harness = await start()
    const target = harness.target(4)
    const upload = await harness.destination.open(target, never)
    await upload.putPart(whole(4), bytes('mine'), never)
    await store(harness, target, 'them')

    await expect(upload.commit(never)).rejects.toMatchObject({ code: 'DEST_OBJECT_EXISTS', permanent: true })
    expect(await upload.abort()).toEqual(['partial file'])

    expect((await harness.read(target))?.toString()).toBe('them')
    expect(harness.kept()).toBe(1)
  })

  it('replaces an object in one step when that is wanted', async () => {
    await using harness = await start()
    const target = harness.target(4)
    await store(harness, target, 'them')

    await store(harness, { ...target, object: { replace: true } }, 'mine')

    expect((await harness.read(target))?.toString()).toBe('mine')
    expect(harness.kept()).toBe(1)
  })

  it('is not left to a worker whose upload was discarded by the next', async () => {
    await using harness = await start()
    const target = harness.target(4)
    const lost = await harness.destination.open(target, never)
    await lost.putPart(whole(4), bytes('mine'), never)
    if (lost.state === null) throw new Error('an upload leaves something')

    expect(await harness.destination.discard(target, lost.state, never)).toEqual(['partial file'])
    const next = await harness.destination.open(target, never)

    await expect(lost.commit(never)).rejects.toMatchObject({ code: 'DEST_COMMIT_FAILED', permanent: false })
    await expect(lost.putPart(whole(4), bytes('mine'), never)).rejects.toMatchObject({ code: 'DEST_COMMIT_FAILED' })
    await next.putPart(whole(4), bytes('next'), never)
    await next.commit(never)
    expect((await harness.read(target))?.toString()).toBe('next')
  })

  it('is one file, though its worker died when it had both names', async () => {
    await using harness = await start()
    const target = harness.target(4)
    const lost = await harness.destination.open(target, never)
    await lost.putPart(whole(4), bytes('mine'), never)
    const [part = ''] = await readdir(harness.folder)
    await link(join(harness.folder, part), join(harness.folder, basename(target.url.pathname)))

    expect(await harness.destination.tidy?.(target, never)).toEqual(['partial file'])

    expect((await harness.read(target))?.toString()).toBe('mine')
    expect(harness.kept()).toBe(1)
  })

  it('wants the whole file', async () => {
    await using harness = await start()
    const upload = await harness.destination.open(harness.target(8), never)
    await upload.putPart(whole(4), bytes('half'), never)

    await expect(upload.commit(never)).rejects.toMatchObject({ code: 'DEST_INTEGRITY_MISMATCH' })
  })
})

describe('reading', () => {
  it('says when an object is shorter than what is read of it', async () => {
    await using harness = await start()
    const target = harness.target(4)
    await store(harness, target, 'mine')

    const reading = harness.destination.read(target, { from: 0, to: 5 }, never)[Symbol.asyncIterator]()

    expect(String((await reading.next()).value)).toBe('mine')
    await expect(reading.next()).rejects.toMatchObject({ code: 'DEST_INTEGRITY_MISMATCH' })
  })
})

describe('what the operating system says', () => {
  it.each([
    ['ENOENT', 'DEST_CONTAINER_NOT_FOUND', 'user'],
    ['ENOTDIR', 'DEST_FORBIDDEN', 'user'],
    ['ELOOP', 'DEST_FORBIDDEN', 'user'],
    ['EEXIST', 'DEST_OBJECT_EXISTS', 'user'],
    ['ENOSPC', 'DEST_QUOTA_EXCEEDED', 'operator'],
    ['EDQUOT', 'DEST_QUOTA_EXCEEDED', 'operator'],
    ['EACCES', 'DEST_FORBIDDEN', 'operator'],
    ['EPERM', 'DEST_FORBIDDEN', 'operator'],
    ['EROFS', 'DEST_FORBIDDEN', 'operator'],
    ['ENAMETOOLONG', 'DEST_LIMIT_EXCEEDED', 'user'],
    ['EFBIG', 'DEST_LIMIT_EXCEEDED', 'user'],
    ['EIO', 'DEST_REJECTED', 'destination']
  ])('%s is %s and the turn of the %s', (code, failure, actor) => {
    const cause = Object.assign(new Error(`${code}: /srv/exports/secret`), { code, errno: -1 })

    expect(fileFailure(cause)).toMatchObject({ code: failure, actor, cause })
    expect((fileFailure(cause) as Error).message).not.toContain('/srv')
  })

  it.each(['EMFILE', 'ENFILE', 'ENOMEM'])('%s stays what it is: trouble of ours', (code) => {
    const error = Object.assign(new Error(code), { code, errno: -1 })

    expect(fileFailure(error)).toBe(error)
  })

  it('of a root that is gone is the turn of the operator', async () => {
    await using harness = await start()
    await rm(harness.root, { recursive: true })

    await expect(harness.destination.open(harness.target(1), never)).rejects.toMatchObject({
      code: 'DEST_UNREACHABLE',
      actor: 'operator',
      permanent: false
    })
  })
})

/** A real file system of 2 MiB, or why there is none here. */
function mountSmall(dir: string): string | undefined {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m,mode=0700', 'tmpfs', dir], { stdio: 'pipe' })
    return undefined
  } catch (error) {
    return error instanceof Error ? (error.message.split('\n')[1] ?? error.message) : 'mount failed'
  }
}

const disk = mkdtempSync(join(tmpdir(), 'full-store-'))
const obstacle = mountSmall(disk)
afterAll(() => {
  if (!obstacle) execFileSync('umount', [disk])
  rmSync(disk, { recursive: true, force: true })
})

describe.skipIf(obstacle)(
  'a disk that is full',
  { meta: obstacle ? { skipReason: `no right to mount a tmpfs: ${obstacle}` } : {} },
  () => {
    const FULL = { code: 'DEST_QUOTA_EXCEEDED', actor: 'operator', permanent: false }

    it('is noticed before the first byte when the length is known', async () => {
      await using harness = await start(disk)

      await expect(harness.destination.open(harness.target(3 * MiB), never)).rejects.toMatchObject(FULL)
      const limits = harness.destination.checks(harness.target(3 * MiB)).find(({ id }) => id === 'dest.limits')
      await expect(limits?.run(never)).rejects.toMatchObject(FULL)
      expect(harness.kept()).toBe(0)
    })

    it('ends a part, and leaves nothing after abort', async () => {
      await using harness = await start(disk)
      const upload = await harness.destination.open(harness.target(4 * MiB, { exact: false }), never)
      const body = async function* () {
        for (let i = 0; i < 4; i += 1) yield Buffer.alloc(MiB, 1)
      }

      await expect(upload.putPart(whole(4 * MiB), body(), never)).rejects.toMatchObject(FULL)
      expect(await upload.abort()).toEqual(['partial file'])
      expect(harness.kept()).toBe(0)
    })
  }
)

describe('going on with an upload', () => {
  it('finds it published already when its worker died between the two names of the file', async () => {
    await using harness = await start()
    const target = harness.target(4)
    const lost = await harness.destination.open(target, never)
    const sent = [await lost.putPart(whole(4), bytes('mine'), never)]
    const [object, part] = [join(harness.root, 'project', target.url.pathname), String(lost.state?.part)]
    await link(join(harness.folder, part), object)

    const resumed = await harness.anotherWorker().resume?.(target, lost.state ?? {}, sent, never)
    await resumed?.upload.commit(never)

    expect((await harness.read(target))?.toString()).toBe('mine')
    expect(harness.kept()).toBe(1)
  })

  it('is not possible at a disk that does not have its file, or has something else there', async () => {
    await using harness = await start()
    const target = harness.target(4)
    const { state } = await harness.destination.open(target, never)
    const part = join(harness.folder, String(state?.part))
    const resume = () => harness.destination.resume?.(target, state ?? {}, [], never)

    await unlink(part)
    expect(await resume()).toBeUndefined()
    await symlink(join(harness.outside, 'victim'), part)
    expect(await resume()).toBeUndefined()
    await rm(harness.folder, { recursive: true })
    expect(await resume()).toBeUndefined()
  })

  it('leaves files alone that only look like parts of it', async () => {
    await using harness = await start()
    const target = harness.target(4)
    const { state } = await harness.destination.open(target, never)
    const part = String(state?.part)
    const others = [`${part}0`, part.slice(0, -1), part.slice(1), part.replace(/.$/, 'x'), 'part']
    for (const name of others) await writeFile(join(harness.folder, name), '')

    expect(await harness.destination.discard(target, null, never)).toEqual(['partial file'])

    expect((await readdir(harness.folder)).sort()).toEqual(others.sort())
  })
})

describe('a commit that failed after the file had its name', () => {
  it.each([
    ['replace', true],
    ['stand beside', false]
  ])('may be called again, where the file is to %s others', async (_case, replace) => {
    await using harness = await start()
    const target = harness.target(4, { object: { replace } })
    let broken = true
    class BreakingPlace extends Place {
      override async open(missing: 'make' | 'fail' | 'stay') {
        const folder = await super.open(missing)
        const { sync } = Folder.prototype
        folder.sync = async () => {
          await sync.call(folder)
          if (missing === 'fail' && broken) throw Object.assign(new Error('EIO'), { errno: -5, code: 'EIO' })
        }
        return folder
      }
    }
    const place = new BreakingPlace(harness.root, target)
    await using folder = await place.open('make')
    await (await folder.file('.part', constants.O_WRONLY | constants.O_CREAT)).close()
    const upload = new FileUpload(place, target, '.part', { partBytes: 4, kept: [] })
    await upload.putPart(whole(4), bytes('mine'), never)

    await expect(upload.commit(never)).rejects.toMatchObject({ code: 'DEST_REJECTED', permanent: false })
    broken = false
    expect(await upload.commit(never)).toEqual({ location: target.url.href })
    await upload.abort()

    expect((await harness.read(target))?.toString()).toBe('mine')
    expect(harness.kept()).toBe(1)
  })
})
