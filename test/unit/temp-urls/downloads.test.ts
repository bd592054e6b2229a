import { createHash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { diskReaders } from '../../../src/disks/registry.ts'
import { MiB } from '../../../src/domain/bytes.ts'
import { SourceReadFailed } from '../../../src/domain/errors.ts'
import { DownloadsBusy } from '../../../src/domain/temp-url-errors.ts'
import { createFormats } from '../../../src/formats/registry.ts'
import { createHashers } from '../../../src/hashing/hashers.ts'
import { Buffers } from '../../../src/pipeline/buffers.ts'
import { Downloads, type DownloadUses } from '../../../src/temp-urls/downloads.ts'
import { OpenFiles } from '../../../src/temp-urls/open-files.ts'
import { servable } from './servable.ts'

const bytes = Buffer.alloc(3 * MiB, 'a kept file; ')
const tempUrl = servable({ bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') })
const WHOLE = { client: '192.0.2.1', status: 200, from: 0, to: bytes.length }
const never = new AbortController().signal
const log = { info() {}, warn() {}, error() {} }
const hashers = createHashers(1)
let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'downloads-'))
  await writeFile(join(folder, 'data'), bytes)
})
afterAll(async () => {
  await hashers.close()
  await rm(folder, { recursive: true })
})

/** Downloads of the kept file; `known` answers for its URL, `rows` is what was written down. */
function downloadsOf(change: Partial<DownloadUses> = {}, fileName = 'data') {
  const rows: { sent: number; complete: boolean | undefined }[] = []
  const known = { living: true }
  const files = new OpenFiles({
    images: { open: () => Promise.reject(new Error('no image is asked for')) },
    readers: diskReaders(),
    limits: { maxVirtualSize: MiB },
    formats: createFormats(),
    stagedPath: () => join(folder, fileName)
  })
  const downloads = new Downloads({
    files,
    log,
    engine: { hashers, buffers: new Buffers() },
    maxDownloads: 2,
    store: {
      startDownload: async () => (known.living ? String(rows.push({ sent: 0, complete: undefined }) - 1) : undefined),
      touchDownload: async () => known.living,
      endDownload: async (id, sent, complete) => {
        rows[Number(id)] = { sent, complete }
      }
    },
    ...change
  })
  return { downloads, rows, known, files }
}

async function all(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of source) chunks.push(Buffer.from(chunk))
  return Buffer.concat(chunks)
}

describe('downloads', () => {
  it('give the kept file and are written down', async () => {
    const { downloads, rows, files } = downloadsOf()
    const download = await downloads.start(tempUrl, WHOLE, never)

    expect(download && (await all(download.bytes)).equals(bytes)).toBe(true)
    download?.end(true)
    download?.end(false)

    expect(rows).toEqual([{ sent: bytes.length, complete: true }])
    await files.close()
  })

  it('are as many at once as are allowed, and one that ended makes room', async () => {
    const { downloads, files } = downloadsOf()
    const first = await downloads.start(tempUrl, WHOLE, never)
    await downloads.start(tempUrl, WHOLE, never)

    await expect(downloads.start(tempUrl, WHOLE, never)).rejects.toBeInstanceOf(DownloadsBusy)
    first?.end(false)
    expect(await downloads.start(tempUrl, WHOLE, never)).toBeDefined()
    await files.close()
  })

  it('leave room again when the file cannot be opened, or the URL ended meanwhile', async () => {
    const { downloads, known, files } = downloadsOf({ maxDownloads: 1 })
    const gone = downloadsOf({ maxDownloads: 1 }, 'missing').downloads
    known.living = false

    for (let i = 0; i < 3; i++) {
      await expect(gone.start(tempUrl, WHOLE, never)).rejects.toBeInstanceOf(SourceReadFailed)
      expect(await downloads.start(tempUrl, WHOLE, never)).toBeUndefined()
    }
    await files.close()
  })

  it('refuse a kept file of another length', async () => {
    const { downloads } = downloadsOf()
    await expect(downloads.start({ ...tempUrl, bytes: 7 }, WHOLE, never)).rejects.toBeInstanceOf(SourceReadFailed)
  })

  it('end within half a minute after the URL was revoked, and when the client goes away', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    try {
      const { downloads, known, files } = downloadsOf()
      const gone = new AbortController()
      const revoked = await downloads.start(tempUrl, WHOLE, never)
      const left = await downloads.start(tempUrl, WHOLE, gone.signal)
      const [a, b] = [revoked, left].map((one) => one?.bytes[Symbol.asyncIterator]())
      await a?.next()
      await b?.next()

      known.living = false
      await vi.advanceTimersByTimeAsync(30_000)
      gone.abort(new Error('the client has gone'))

      await expect(a?.next()).rejects.toThrow('revoked')
      await expect(b?.next()).rejects.toThrow('gone')
      revoked?.end(false)
      left?.end(false)
      await files.close()
    } finally {
      vi.useRealTimers()
    }
  })
})
