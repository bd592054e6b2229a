import { createHash, createHmac } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { diskReaders } from '../../../src/disks/registry.ts'
import { type TaskId, taskId } from '../../../src/domain/ids.ts'
import { createFormats } from '../../../src/formats/registry.ts'
import { createHashers } from '../../../src/hashing/hashers.ts'
import { Buffers } from '../../../src/pipeline/buffers.ts'
import { OpenFiles } from '../../../src/temp-urls/open-files.ts'
import type { TempUrlStore } from '../../../src/temp-urls/ports.ts'
import { createTempUrls, type TempUrls } from '../../../src/temp-urls/temp-urls.ts'
import { derivedKeys, namedKeys } from '../../../src/vault/keys.ts'
import { servable } from '../temp-urls/servable.ts'

const KEYS = namedKeys([Buffer.alloc(32, 'a key of this test')])
const FILE = 'disk.raw'
const LATER = 9_000_000_000

/** The real temporary URLs over a store with one file of one task, and what a client may try with them. */
export async function oneTempUrl(
  task: string
): Promise<TempUrls & AsyncDisposable & { values: Record<string, string> }> {
  const folder = await mkdtemp(join(tmpdir(), 'one-temp-url-'))
  const bytes = Buffer.alloc(1000, 'file')
  await writeFile(join(folder, 'data'), bytes)
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  const tempUrl = servable({ taskId: taskId(task), fileName: FILE, sha256, expiresAt: new Date(LATER * 1000) })
  const hashers = createHashers(1)
  const files = new OpenFiles({
    images: { open: () => Promise.reject(new Error('no image is asked for')) },
    readers: diskReaders(),
    limits: { maxVirtualSize: 1 },
    formats: createFormats(),
    stagedPath: () => join(folder, 'data')
  })
  const unused = () => Promise.reject(new Error('nobody asks for this'))
  const store: TempUrlStore = {
    find: async (ids: readonly TaskId[]) => (ids.includes(tempUrl.taskId) ? [tempUrl] : []),
    startDownload: async () => '1',
    touchDownload: async () => true,
    endDownload: async () => {},
    extend: unused,
    revoke: unused,
    downloads: unused,
    ended: unused,
    filesRemoved: unused,
    unknown: unused
  }
  const tempUrls = createTempUrls({
    store,
    files,
    getTask: unused,
    engine: { hashers, buffers: new Buffers() },
    log: { info() {}, warn() {}, error() {} },
    deriveKeys: (purpose) => derivedKeys(KEYS, purpose),
    publicUrl: () => 'http://localhost',
    ttlSeconds: 60,
    maxTtlSeconds: 60,
    maxDownloads: 2
  })
  const sign = (expires: number, id = task, algorithm = 'sha256') => {
    const [key = ''] = derivedKeys(KEYS, `temporary URLs of ${id}, generation ${tempUrl.generation}`)
    return createHmac(algorithm, key).update(`GET\n${expires}\n/v2/exports/${id}/${FILE}`).digest('hex')
  }
  return {
    ...tempUrls,
    values: {
      FILE,
      EXP: String(LATER),
      EXP_PLUS_1: String(LATER + 1),
      SIG: sign(LATER),
      SIG_UPPER: sign(LATER).toUpperCase(),
      SIG_OLD: sign(1),
      SIG_OF_OTHER_TASK: sign(LATER, '0a000000-0000-4000-8000-00000000000a'),
      SIG_SHA1: sign(LATER, task, 'sha1')
    },
    async [Symbol.asyncDispose]() {
      await files.close()
      await hashers.close()
      await rm(folder, { recursive: true })
    }
  }
}
