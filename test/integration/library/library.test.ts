import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { diskReaders } from '../../../src/disks/registry.ts'
import { type ByteSource, KiB, MiB } from '../../../src/domain/bytes.ts'
import { type ImageId, imageId } from '../../../src/domain/ids.ts'
import { createHashers } from '../../../src/hashing/hashers.ts'
import { type LibraryFiles, libraryFiles } from '../../../src/images/library-files.ts'
import { createLibrary, type Library } from '../../../src/library/library.ts'
import type { ImageStore } from '../../../src/library/ports.ts'
import { imageStore } from '../../../src/postgres/image-store.ts'
import { migratedDatabase } from '../../support/database.ts'
import { admin, fields, insertTask, memberOf } from './image-rows.ts'

const hashers = createHashers(2)
afterAll(() => hashers.close())

const [one, two] = [memberOf('p1'), memberOf('p2')]
const never = new AbortController().signal
const limits = { maxImageSize: 8 * MiB, maxVirtualSize: 16 * MiB }

let database: Awaited<ReturnType<typeof migratedDatabase>>
let store: ImageStore
let dir: string
let files: LibraryFiles
let library: Library
beforeAll(async () => {
  database = await migratedDatabase()
  store = imageStore(database.pool)
})
afterAll(() => database.close())
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'library-'))
  files = libraryFiles({ dir, hashers, uploadOf: (id) => store.uploadOf(id) })
  library = createLibrary({ store, files, readers: diskReaders(), limits })
})
afterEach(() => rm(dir, { recursive: true, force: true }))

async function* of(...chunks: Uint8Array[]): ByteSource {
  yield* chunks
}

async function contentOf(id: ImageId, range?: { offset: number; length: number }): Promise<Buffer> {
  const file = await library.readImage(one, id, range, never)
  const chunks: Buffer[] = []
  for await (const chunk of file?.bytes ?? of()) chunks.push(Buffer.from(chunk))
  return Buffer.concat(chunks)
}

/** Data, a megabyte of zeros, data: an odd length, so the disk is a little larger. */
const bytes = Buffer.concat([randomBytes(100 * KiB), Buffer.alloc(MiB), randomBytes(300 * KiB + 7)])

async function uploaded(): Promise<ImageId> {
  const { id } = await library.createImage(one, fields)
  await library.uploadImage(one, id, of(bytes), never)
  return id
}

describe('an upload', () => {
  it('makes the image active, with what is known of its bytes', async () => {
    const id = await uploaded()

    expect(await library.getImage(one, id)).toMatchObject({
      status: 'active',
      size: bytes.length,
      virtualSize: Math.ceil(bytes.length / 512) * 512,
      checksum: createHash('md5').update(bytes).digest('hex'),
      sha512: createHash('sha512').update(bytes).digest('hex')
    })
    expect((await contentOf(id)).equals(bytes)).toBe(true)
  })

  it('can be done once', async () => {
    const id = await uploaded()

    await expect(library.uploadImage(one, id, of(bytes), never)).rejects.toMatchObject({ code: 'UPLOAD_CONFLICT' })

    expect((await contentOf(id)).equals(bytes)).toBe(true)
  })

  const controller = () => {
    const abort = new AbortController()
    const source = async function* () {
      yield bytes
      abort.abort(new Error('client went away'))
    }
    return { source: source(), signal: abort.signal }
  }
  const breaking = async function* () {
    yield bytes
    throw new Error('connection reset')
  }
  const qcow2 = Buffer.concat([Buffer.from('QFI\xfb\0\0\0\x03', 'latin1'), Buffer.alloc(4096)])

  it.each([
    {
      what: 'a source that breaks',
      changes: {},
      upload: () => ({ source: breaking(), signal: never }),
      failure: { message: 'connection reset' }
    },
    {
      what: 'a client that goes away at the end',
      changes: {},
      upload: controller,
      failure: { message: 'client went away' }
    },
    {
      what: 'too many bytes',
      changes: {},
      upload: () => ({ source: of(...Array(9).fill(bytes)), signal: never }),
      failure: { code: 'IMAGE_TOO_LARGE' }
    },
    {
      what: 'no bytes',
      changes: {},
      upload: () => ({ source: of(), signal: never }),
      failure: { code: 'IMAGE_UNSAFE', rule: 'empty' }
    },
    {
      what: 'qcow2 declared raw',
      changes: {},
      upload: () => ({ source: of(qcow2), signal: never }),
      failure: { code: 'IMAGE_UNSAFE', rule: 'format_mismatch' }
    },
    {
      what: 'raw declared qcow2',
      changes: { diskFormat: 'qcow2' },
      upload: () => ({ source: of(bytes), signal: never }),
      failure: { code: 'IMAGE_UNSAFE', rule: 'format_mismatch' }
    },
    {
      what: 'no disk_format',
      changes: { diskFormat: null },
      upload: () => ({ source: of(bytes), signal: never }),
      failure: { code: 'IMAGE_INCOMPLETE', message: 'Properties disk_format must be set prior to saving data.' }
    },
    {
      what: 'no formats',
      changes: { diskFormat: null, containerFormat: null },
      upload: () => ({ source: of(bytes), signal: never }),
      failure: {
        code: 'IMAGE_INCOMPLETE',
        message: 'Properties disk_format, container_format must be set prior to saving data.'
      }
    },
    {
      what: 'a disk_format without a reader',
      changes: { diskFormat: 'qed' },
      upload: () => ({ source: of(bytes), signal: never }),
      failure: { code: 'IMAGE_FORMAT_UNSUPPORTED', message: expect.stringContaining('raw, qcow2') }
    },
    {
      what: 'a container',
      changes: { containerFormat: 'ova' },
      upload: () => ({ source: of(bytes), signal: never }),
      failure: { code: 'IMAGE_FORMAT_UNSUPPORTED', message: expect.stringContaining('bare') }
    }
  ])(
    'refuses $what; the image is queued again, without files, and can be uploaded',
    async ({ changes, upload, failure }) => {
      const { id } = await library.createImage(one, { ...fields, ...changes })
      const { source, signal } = upload()

      await expect(library.uploadImage(one, id, source, signal)).rejects.toMatchObject(failure)

      expect(await library.getImage(one, id)).toMatchObject({ status: 'queued', size: null })
      expect(await library.readImage(one, id, undefined, never)).toBeNull()
      expect(await readdir(dir)).toEqual([])
      await library.updateImage(one, id, (image) => ({ ...image, diskFormat: 'raw', containerFormat: 'bare' }))
      await library.uploadImage(one, id, of(bytes), never)
      expect(await library.getImage(one, id)).toMatchObject({ status: 'active' })
    }
  )

  it('is for the project; others may not know of the image, or not touch it', async () => {
    const hidden = await library.createImage(one, fields)
    const shared = await library.createImage(admin, { ...fields, visibility: 'public' })

    await expect(library.uploadImage(two, hidden.id, of(bytes), never)).rejects.toMatchObject({
      code: 'IMAGE_NOT_FOUND'
    })
    await expect(library.uploadImage(two, shared.id, of(bytes), never)).rejects.toMatchObject({
      code: 'IMAGE_FORBIDDEN'
    })
  })

  it('is not found any more when its image is deleted meanwhile', async () => {
    const { id } = await library.createImage(one, fields)
    const source = async function* () {
      yield bytes
      await library.deleteImage(one, id)
    }

    await expect(library.uploadImage(one, id, source(), never)).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND' })

    expect(await readdir(dir)).toEqual([])
  })

  it('yields to the one that took over, whose bytes stay', async () => {
    const { id } = await library.createImage(one, fields)
    const other = Buffer.from('the other one')
    const source = async function* () {
      yield bytes
      await database.pool.query(`update images set upload_seen_at = now() - interval '3 minutes' where id = $1`, [id])
      await library.uploadImage(one, id, of(other), never)
    }

    await expect(library.uploadImage(one, id, source(), never)).rejects.toMatchObject({ code: 'UPLOAD_CONFLICT' })

    expect((await contentOf(id)).toString()).toBe('the other one')
    expect(await readdir(join(dir, id))).toHaveLength(1)
  })

  it('stops within half a minute when another took over, even while its source is silent', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    try {
      const { id } = await library.createImage(one, fields)
      const source = async function* () {
        yield bytes
        await database.pool.query('update images set upload_id = gen_random_uuid() where id = $1', [id])
        vi.advanceTimersByTime(30_000)
        await new Promise(() => {})
      }

      await expect(library.uploadImage(one, id, source(), never)).rejects.toMatchObject({ code: 'UPLOAD_CONFLICT' })
      expect(vi.getTimerCount()).toBe(0)
    } finally {
      vi.useRealTimers()
    }
  })

  it('keeps the files when the answer to its last statement was lost', async () => {
    const forgetful: ImageStore = {
      ...store,
      finishUpload: async (...args) => {
        await store.finishUpload(...args)
        throw new Error('connection lost')
      }
    }
    const { id } = await library.createImage(one, fields)
    const uploads = createLibrary({ store: forgetful, files, readers: diskReaders(), limits })

    await expect(uploads.uploadImage(one, id, of(bytes), never)).rejects.toThrow('connection lost')

    expect(await library.getImage(one, id)).toMatchObject({ status: 'active' })
    expect((await contentOf(id)).equals(bytes)).toBe(true)
  })
})

describe('reading', () => {
  it.each([
    { offset: 0, length: 1 },
    { offset: 0, length: 0 },
    { offset: 90 * KiB, length: 20 * KiB },
    { offset: 99 * KiB, length: MiB + 100 * KiB },
    { offset: bytes.length - 1, length: 1 }
  ])('gives $length bytes from $offset', async (range) => {
    const id = await uploaded()

    expect((await contentOf(id, range)).equals(bytes.subarray(range.offset, range.offset + range.length))).toBe(true)
  })

  it('tells size and checksum of the whole, also for a range', async () => {
    const id = await uploaded()

    await using file = await library.readImage(one, id, { offset: 5, length: 5 }, never)

    expect(file).toMatchObject({ size: bytes.length, checksum: createHash('md5').update(bytes).digest('hex') })
  })

  it('calls a range past the end a RangeError', async () => {
    const id = await uploaded()

    const read = library.readImage(one, id, { offset: bytes.length, length: 1 }, never)

    await expect(read).rejects.toBeInstanceOf(RangeError)
  })

  it('stops when aborted', async () => {
    const id = await uploaded()
    const controller = new AbortController()
    const file = await library.readImage(one, id, undefined, controller.signal)
    const read = async () => {
      for await (const _chunk of file?.bytes ?? of()) controller.abort(new Error('enough'))
    }

    await expect(read()).rejects.toThrow('enough')
  })

  it('is for those who see the image', async () => {
    const id = await uploaded()

    await expect(library.readImage(two, id, undefined, never)).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND' })
  })
})

describe('changing', () => {
  it('stores what the change makes of the image', async () => {
    const { id } = await library.createImage(one, fields)

    const changed = await library.updateImage(one, id, (image) => ({
      ...image,
      name: `${image.name} 13`,
      tags: ['new']
    }))

    expect(changed).toMatchObject({ name: 'debian 13', tags: ['new'], diskFormat: 'raw' })
    expect(await library.getImage(one, id)).toEqual(changed)
  })

  it('does not let checked data be called another format', async () => {
    const id = await uploaded()

    const change = library.updateImage(one, id, (image) => ({ ...image, diskFormat: 'qcow2' }))

    await expect(change).rejects.toMatchObject({ code: 'IMAGE_FORMAT_FIXED' })
  })

  it('does not while the data is on its way either, and lets all else be changed', async () => {
    const { id } = await library.createImage(one, fields)
    await store.beginUpload(id, randomUUID())

    const change = library.updateImage(one, id, (image) => ({ ...image, containerFormat: null }))

    await expect(change).rejects.toMatchObject({ code: 'IMAGE_FORMAT_FIXED' })
    const named = library.updateImage(one, id, (image) => ({ ...image, name: 'new name' }))
    expect(await named).toMatchObject({ name: 'new name', status: 'saving' })
  })

  it('keeps all of many changes that come at once', async () => {
    const { id } = await library.createImage(one, fields)
    const tags = Array.from({ length: 12 }, (_, index) => `tag-${index}`)

    await Promise.all(
      tags.map((tag) => library.updateImage(one, id, (image) => ({ ...image, tags: [...image.tags, tag] })))
    )

    expect([...(await library.getImage(one, id)).tags].sort()).toEqual(tags.sort())
  })

  it('lets admins alone make an image public', async () => {
    const { id } = await library.createImage(one, fields)
    const publish = { ...fields, visibility: 'public' } as const

    await expect(library.createImage(one, publish)).rejects.toMatchObject({ code: 'IMAGE_FORBIDDEN' })
    await expect(library.updateImage(one, id, () => publish)).rejects.toMatchObject({ code: 'IMAGE_FORBIDDEN' })
    await library.updateImage(admin, id, () => publish)
    expect(await library.updateImage(one, id, () => ({ ...publish, name: 'mine' }))).toMatchObject({
      visibility: 'public'
    })
  })

  it('lets admins alone set, change and remove the properties that exports depend on', async () => {
    const guarded = createLibrary({ store, files, readers: diskReaders(), limits, adminsOnly: ['export_scrub'] })
    const wanting = { ...fields, properties: { export_scrub: 'generalize', os: 'debian' } }
    const { id } = await guarded.createImage(one, fields)
    const forbidden = { code: 'IMAGE_FORBIDDEN', message: expect.stringContaining('export_scrub') }

    await expect(guarded.createImage(one, wanting)).rejects.toMatchObject(forbidden)
    await expect(guarded.updateImage(one, id, () => wanting)).rejects.toMatchObject(forbidden)
    await guarded.updateImage(admin, id, () => wanting)
    await expect(guarded.updateImage(one, id, () => fields)).rejects.toMatchObject(forbidden)
    const properties = { export_scrub: 'generalize', os: 'other' }
    expect(await guarded.updateImage(one, id, (image) => ({ ...image, properties }))).toMatchObject({ properties })
  })

  it('is not for other projects', async () => {
    const { id } = await library.createImage(one, fields)
    await expect(library.updateImage(two, id, (image) => image)).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND' })

    await library.updateImage(admin, id, (image) => ({ ...image, visibility: 'public' }))
    await expect(library.updateImage(two, id, (image) => image)).rejects.toMatchObject({ code: 'IMAGE_FORBIDDEN' })
  })
})

describe('deleting', () => {
  it('removes the image and its files', async () => {
    const id = await uploaded()

    await library.deleteImage(one, id)

    await expect(library.getImage(one, id)).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND' })
    expect(await readdir(dir)).toEqual([])
  })

  it('names the tasks that still need the image and says what to do', async () => {
    const id = await uploaded()
    const task = await insertTask(database.pool, id, 'processing')

    const deletion = library.deleteImage(one, id)

    await expect(deletion).rejects.toMatchObject({
      code: 'IMAGE_IN_USE',
      tasks: [task],
      message: `Image ${id} cannot be deleted while it is being exported by ${task}; try again when that has ended, or cancel it with POST /v2/tasks/{id}/cancel.`
    })
    expect((await contentOf(id)).equals(bytes)).toBe(true)
  })

  it('refuses what is protected, foreign or unknown', async () => {
    const guarded = await library.createImage(one, { ...fields, protected: true })
    const shared = await library.createImage(admin, { ...fields, visibility: 'public' })

    await expect(library.deleteImage(one, guarded.id)).rejects.toMatchObject({ code: 'IMAGE_PROTECTED' })
    await expect(library.deleteImage(one, shared.id)).rejects.toMatchObject({ code: 'IMAGE_FORBIDDEN' })
    await expect(library.deleteImage(two, guarded.id)).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND' })
    await expect(library.deleteImage(one, imageId(randomUUID()))).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND' })
  })
})

describe('creating', () => {
  it('takes the id that the client chose, once', async () => {
    const id = imageId(randomUUID())

    expect(await library.createImage(one, { ...fields, id })).toMatchObject({ id, owner: 'p1', status: 'queued' })
    await expect(library.createImage(two, { ...fields, id })).rejects.toMatchObject({ code: 'IMAGE_EXISTS' })
  })
})
