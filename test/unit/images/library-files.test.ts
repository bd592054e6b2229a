import { spawn } from 'node:child_process'
import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import {
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  truncate,
  utimes,
  writeFile
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type ByteSource, KiB, MiB } from '../../../src/domain/bytes.ts'
import { type ImageId, imageId } from '../../../src/domain/ids.ts'
import { createHashers } from '../../../src/hashing/hashers.ts'
import { type LibraryFiles, libraryFiles } from '../../../src/images/library-files.ts'
import { describeImageSource } from '../../contracts/image-source.contract.ts'

const hashers = createHashers(2)
afterAll(() => hashers.close())

const block = 64 * KiB
const never = new AbortController().signal

let dir: string
let published: Map<ImageId, string>
let files: LibraryFiles

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'library-files-'))
  published = new Map()
  files = libraryFiles({ dir, hashers, uploadOf: async (id) => published.get(id) })
})
afterEach(() => rm(dir, { recursive: true, force: true }))

const newIds = () => ({ id: imageId(randomUUID()), uploadId: randomUUID() })

async function* inOneBuffer(chunks: Iterable<Uint8Array>): ByteSource {
  const borrowed = Buffer.alloc(4 * MiB)
  for (const chunk of chunks) {
    borrowed.set(chunk)
    yield borrowed.subarray(0, chunk.length)
    borrowed.fill(0xee, 0, chunk.length) // a consumer that keeps a chunk would see this
  }
}

async function store(bytes: Uint8Array): Promise<ImageId> {
  const { id, uploadId } = newIds()
  await files.write(id, uploadId, inOneBuffer([bytes]), bytes.length, never)
  await files.publish(id, uploadId)
  published.set(id, uploadId)
  return id
}

async function readAll(id: ImageId): Promise<Buffer> {
  await using file = await files.open(id, never)
  const target = Buffer.alloc(file.size)
  await file.read(target, 0)
  return target
}

const hashed = (name: string, bytes: Uint8Array): string => createHash(name).update(bytes).digest('hex')

/** By definition: the blocks that are not all zeros, adjacent ones joined, the last one cut at the end. */
function dataRangesOf(bytes: Buffer): { offset: number; length: number }[] {
  const ranges: { offset: number; length: number }[] = []
  for (let offset = 0; offset < bytes.length; offset += block) {
    const length = Math.min(block, bytes.length - offset)
    if (bytes.subarray(offset, offset + length).equals(Buffer.alloc(length))) continue
    const last = ranges.at(-1)
    if (last && last.offset + last.length === offset) last.length += length
    else ranges.push({ offset, length })
  }
  return ranges
}

describeImageSource('library files', async () => {
  const home = await mkdtemp(join(tmpdir(), 'library-files-'))
  const uploads = new Map<ImageId, string>()
  const source = libraryFiles({ dir: home, hashers, uploadOf: async (id) => uploads.get(id) })
  return {
    source,
    async store(bytes) {
      const { id, uploadId } = newIds()
      await source.write(id, uploadId, inOneBuffer([bytes]), bytes.length, never)
      await source.publish(id, uploadId)
      uploads.set(id, uploadId)
      return id
    },
    [Symbol.asyncDispose]: () => rm(home, { recursive: true, force: true })
  }
})

describe('write', () => {
  it.each([0, 1, block - 1, block, block + 1, 16 * block - 1, 16 * block, 16 * block + 1])(
    'stores %i bytes of data as they are',
    async (size) => {
      const bytes = Buffer.alloc(size, 0x5a)
      const { id, uploadId } = newIds()

      const stored = await files.write(id, uploadId, inOneBuffer([bytes]), size, never)

      expect(stored).toEqual({
        size,
        checksum: hashed('md5', bytes),
        sha512: hashed('sha512', bytes),
        dataRanges: size === 0 ? [] : [{ offset: 0, length: size }]
      })
    }
  )

  it.each([1, block - 1, block, block + 1, 40 * block + 7])('has no data in %i zeros', async (size) => {
    const id = await store(Buffer.alloc(size))

    await using file = await files.open(id, never)

    expect(file.size).toBe(size)
    expect(file.dataRanges).toEqual([])
  })

  it.each([
    { at: block - 1, ranges: [{ offset: 0, length: block }] },
    { at: block, ranges: [{ offset: block, length: block }] },
    { at: 16 * block - 1, ranges: [{ offset: 15 * block, length: block }] },
    { at: 16 * block, ranges: [{ offset: 16 * block, length: block }] },
    { at: 20 * block + 4, ranges: [{ offset: 20 * block, length: 5 }] }
  ])('keeps the one byte at $at', async ({ at, ranges }) => {
    const bytes = Buffer.alloc(20 * block + 5)
    bytes[at] = 1

    const id = await store(bytes)

    await using file = await files.open(id, never)
    expect(file.dataRanges).toEqual(ranges)
    expect((await readAll(id)).equals(bytes)).toBe(true)
  })

  it('gives the same bytes, hashes and ranges however the stream is cut', async () => {
    const piece = fc.record({
      zero: fc.boolean(),
      length: fc.oneof(
        fc.integer({ min: 1, max: 1000 }),
        fc.constantFrom(block - 1, block, block + 1, 2 * block, 3 * block - 1, 17 * block + 3)
      )
    })
    await fc.assert(
      fc.asyncProperty(
        fc.array(piece, { maxLength: 12 }),
        fc.integer({ min: 700, max: 300_000 }),
        async (pieces, cut) => {
          const bytes = Buffer.concat(pieces.map(({ zero, length }) => Buffer.alloc(length, zero ? 0 : 0x42)))
          const chunks = Array.from({ length: Math.ceil(bytes.length / cut) }, (_, i) =>
            bytes.subarray(i * cut, (i + 1) * cut)
          )
          const { id, uploadId } = newIds()

          const stored = await files.write(id, uploadId, inOneBuffer(chunks), bytes.length, never)
          await files.publish(id, uploadId)
          published.set(id, uploadId)

          expect(stored).toEqual({
            size: bytes.length,
            checksum: hashed('md5', bytes),
            sha512: hashed('sha512', bytes),
            dataRanges: dataRangesOf(bytes)
          })
          expect((await readAll(id)).equals(bytes)).toBe(true)
        }
      ),
      { numRuns: 60 }
    )
  })

  it('takes no room for zeros', async () => {
    const { id, uploadId } = newIds()
    const zeros = Buffer.alloc(MiB)
    const chunks = [randomBytes(MiB), ...Array.from({ length: 254 }, () => zeros), randomBytes(MiB)]

    await files.write(id, uploadId, inOneBuffer(chunks), 256 * MiB, never)

    const { size, blocks } = await stat(join(dir, id, `${uploadId}.part`, 'data'))
    expect(size).toBe(256 * MiB)
    expect(blocks * 512).toBeLessThan(3 * MiB)
  })

  it('lets nobody else read the files', async () => {
    const id = await store(Buffer.from('secret'))
    const folder = join(dir, id, published.get(id) ?? '')

    const modes = await Promise.all(
      ['data', 'ranges.json', '.'].map(async (name) => (await stat(join(folder, name))).mode)
    )

    expect(modes.map((mode) => mode & 0o777)).toEqual([0o600, 0o600, 0o700])
  })

  it('takes as many bytes as allowed and refuses one more, leaving nothing', async () => {
    const allowed = newIds()
    const refused = newIds()

    await files.write(allowed.id, allowed.uploadId, inOneBuffer([Buffer.alloc(100), Buffer.alloc(100)]), 200, never)
    const tooMuch = files.write(
      refused.id,
      refused.uploadId,
      inOneBuffer([Buffer.alloc(100), Buffer.alloc(101)]),
      200,
      never
    )

    await expect(tooMuch).rejects.toMatchObject({ code: 'IMAGE_TOO_LARGE' })
    expect(await readdir(dir)).toEqual([allowed.id])
  })

  it('stops at once when aborted while the source is silent, leaving nothing', async () => {
    const controller = new AbortController()
    let returned = false
    const source: ByteSource = {
      [Symbol.asyncIterator]() {
        let sent = false
        return {
          next() {
            if (sent) {
              controller.abort(new Error('client went away'))
              return new Promise(() => {})
            }
            sent = true
            return Promise.resolve({ done: false, value: randomBytes(3 * MiB) })
          },
          async return() {
            returned = true
            return { done: true, value: undefined }
          }
        }
      }
    }
    const { id, uploadId } = newIds()

    await expect(files.write(id, uploadId, source, 10 * MiB, controller.signal)).rejects.toThrow('client went away')

    expect(returned).toBe(true)
    expect(await readdir(dir)).toEqual([])
  })

  it('does not store a stream that ends because it was aborted', async () => {
    const controller = new AbortController()
    const source = async function* () {
      yield Buffer.from('half')
      controller.abort(new Error('client went away'))
    }
    const { id, uploadId } = newIds()

    await expect(files.write(id, uploadId, source(), MiB, controller.signal)).rejects.toThrow('client went away')

    expect(await readdir(dir)).toEqual([])
  })

  it('fails as its source fails, leaving nothing', async () => {
    const source = async function* () {
      yield randomBytes(2 * MiB)
      throw new Error('the connection broke')
    }
    const { id, uploadId } = newIds()

    await expect(files.write(id, uploadId, source(), 9 * MiB, never)).rejects.toThrow('the connection broke')

    expect(await readdir(dir)).toEqual([])
  })

  it('never writes into the files of another upload', async () => {
    const { id, uploadId } = newIds()
    await files.write(id, uploadId, inOneBuffer([Buffer.from('first')]), 100, never)

    const second = files.write(id, uploadId, inOneBuffer([Buffer.from('second')]), 100, never)

    await expect(second).rejects.toMatchObject({ code: 'EEXIST' })
  })
})

describe('publish, discard and open', () => {
  it('shows an upload only once its image names it', async () => {
    const { id, uploadId } = newIds()
    await files.write(id, uploadId, inOneBuffer([Buffer.from('bytes')]), 100, never)
    await files.publish(id, uploadId)

    await expect(files.open(id, never)).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND' })
    published.set(id, uploadId)
    expect((await readAll(id)).toString()).toBe('bytes')
  })

  it('keeps two uploads to one image apart', async () => {
    const id = await store(Buffer.from('winner'))
    const late = randomUUID()

    await files.write(id, late, inOneBuffer([Buffer.from('loser')]), 100, never)
    await files.publish(id, late)
    await files.discard(id, late)

    expect((await readAll(id)).toString()).toBe('winner')
  })

  it('lets an upload be looked at before it is published', async () => {
    const { id, uploadId } = newIds()
    await files.write(id, uploadId, inOneBuffer([Buffer.from('bytes')]), 100, never)

    await using file = await files.openUpload(id, uploadId)

    expect(file.size).toBe(5)
  })

  it('discards what is published, unpublished or not there', async () => {
    const id = await store(Buffer.from('bytes'))
    const uploadId = published.get(id) ?? ''

    await files.discard(id, uploadId)
    await files.discard(id, uploadId)

    expect(await readdir(dir)).toEqual([])
  })

  it('goes on reading a file that was discarded after it was opened', async () => {
    const id = await store(Buffer.from('bytes'))
    await using file = await files.open(id, never)
    await files.discard(id, published.get(id) ?? '')
    const target = Buffer.alloc(5)

    await file.read(target, 0)

    expect(target.toString()).toBe('bytes')
  })

  it('makes no path of anything but UUIDs', async () => {
    const escaping = imageId('../../../../etc')

    await expect(files.write(escaping, randomUUID(), inOneBuffer([]), 1, never)).rejects.toBeInstanceOf(TypeError)
    await expect(files.openUpload(imageId(randomUUID()), '../x')).rejects.toBeInstanceOf(TypeError)
    await expect(files.discard(escaping, randomUUID())).rejects.toBeInstanceOf(TypeError)
  })
})

describe('files that are not as they were stored', () => {
  const folderOf = (id: ImageId) => join(dir, id, published.get(id) ?? '')
  const data = Buffer.concat([randomBytes(block), Buffer.alloc(block), randomBytes(10)])

  it.each<[string, (folder: string) => Promise<void>]>([
    ['a shorter file', (folder) => truncate(join(folder, 'data'), block)],
    ['a longer file', (folder) => truncate(join(folder, 'data'), 10 * block)],
    ['no file', (folder) => rm(join(folder, 'data'))],
    ['no map', (folder) => rm(join(folder, 'ranges.json'))],
    ['no folder', (folder) => rm(folder, { recursive: true })],
    ['half a map', async (folder) => truncate(join(folder, 'ranges.json'), 20)],
    [
      'a map with ranges in a wrong order',
      (folder) =>
        writeFile(
          join(folder, 'ranges.json'),
          JSON.stringify({
            size: data.length,
            dataRanges: [
              { offset: block, length: 5 },
              { offset: 0, length: 5 }
            ]
          })
        )
    ],
    [
      'a map past the end',
      (folder) =>
        writeFile(
          join(folder, 'ranges.json'),
          JSON.stringify({ size: data.length, dataRanges: [{ offset: 0, length: data.length + 1 }] })
        )
    ],
    [
      'a symbolic link',
      async (folder) => {
        await rename(join(folder, 'data'), join(dir, 'elsewhere'))
        await symlink(join(dir, 'elsewhere'), join(folder, 'data'))
      }
    ]
  ])('are refused: %s', async (_what, damage) => {
    const id = await store(data)
    await damage(folderOf(id))

    await expect(files.open(id, never)).rejects.toMatchObject({ code: 'SOURCE_READ_FAILED', permanent: false })
  })
})

describe('a process that is killed while it stores an upload', () => {
  it('leaves only what sweeping removes, and the image can be uploaded again', async () => {
    const { id, uploadId } = newIds()
    await storeUntilKilled(id, uploadId)
    expect(await readdir(join(dir, id))).toEqual([`${uploadId}.part`])

    const again = randomUUID()
    await files.write(id, again, inOneBuffer([Buffer.from('bytes')]), 100, never)
    await files.publish(id, again)
    published.set(id, again)

    expect((await readAll(id)).toString()).toBe('bytes')
    await expect(files.openUpload(id, uploadId)).rejects.toMatchObject({ code: 'SOURCE_READ_FAILED' })
  })

  async function storeUntilKilled(id: ImageId, uploadId: string): Promise<void> {
    const program = `
      const { libraryFiles } = await import(${JSON.stringify(new URL('../../../src/images/library-files.ts', import.meta.url))})
      const { createHashers } = await import(${JSON.stringify(new URL('../../../src/hashing/hashers.ts', import.meta.url))})
      const files = libraryFiles({ dir: ${JSON.stringify(dir)}, hashers: createHashers(2), uploadOf: async () => undefined })
      async function* endless() {
        for (let sent = 0; ; sent += 1) {
          yield Buffer.alloc(2 ** 20, 7)
          if (sent === 5) process.stdout.write('storing')
          await new Promise((resolve) => setTimeout(resolve, 1))
        }
      }
      await files.write('${id}', '${uploadId}', endless(), 2 ** 40, new AbortController().signal)`
    const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
      stdio: ['ignore', 'pipe', 'inherit']
    })
    child.stdout.once('data', () => child.kill('SIGKILL'))
    const [, signal] = await once(child, 'exit')
    expect(signal).toBe('SIGKILL')
  }
})

describe('sweep', () => {
  const longAgo = new Date(Date.now() - 25 * 60 * 60 * 1000)
  async function age(folder: string): Promise<void> {
    for (const name of ['data', '.']) await utimes(join(folder, name), longAgo, longAgo)
  }

  it('removes uploads that died more than a day ago and nothing else', async () => {
    const dead = newIds()
    const alive = newIds()
    const image = await store(Buffer.from('bytes'))
    await files.write(dead.id, dead.uploadId, inOneBuffer([Buffer.from('dead')]), 100, never)
    await files.write(alive.id, alive.uploadId, inOneBuffer([Buffer.from('alive')]), 100, never)
    await age(join(dir, dead.id, `${dead.uploadId}.part`))
    await age(join(dir, image, published.get(image) ?? ''))
    await mkdir(join(dir, 'lost+found'))

    const removed = await files.sweep()

    expect(removed).toBe(1)
    expect((await readdir(dir)).sort()).toEqual([alive.id, image, 'lost+found'].sort())
    expect((await readAll(image)).toString()).toBe('bytes')
  })

  it('spares a long upload that is still being written', async () => {
    const { id, uploadId } = newIds()
    await files.write(id, uploadId, inOneBuffer([Buffer.from('alive')]), 100, never)
    await utimes(join(dir, id, `${uploadId}.part`), longAgo, longAgo)

    expect(await files.sweep()).toBe(0)
    expect(await readFile(join(dir, id, `${uploadId}.part`, 'data'), 'utf8')).toBe('alive')
  })

  it('has nothing to do where there is no folder yet', async () => {
    const nowhere = libraryFiles({ dir: join(dir, 'later'), hashers, uploadOf: async () => undefined })

    expect(await nowhere.sweep()).toBe(0)
  })
})
