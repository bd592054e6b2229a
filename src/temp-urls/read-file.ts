import { type ByteSource, KiB } from '../domain/bytes.ts'
import { SourceReadFailed } from '../domain/errors.ts'
import type { StreamHash } from '../hashing/hashers.ts'
import { BufferPool } from '../pipeline/buffer-pool.ts'
import type { Engine } from '../pipeline/engine.ts'
import { type Chunk, readLayout } from '../pipeline/read-layout.ts'
import type { OpenFile } from './open-file.ts'

const BUFFER_BYTES = 256 * KiB
/** As many as `readLayout` has under way, one that is sent, and one that is held back until the hash is known. */
const BUFFERS = 6

type Engines = Pick<Engine, 'buffers' | 'hashers'>
type Bytes = { readonly from: number; readonly to: number }

/**
 * The bytes [from, to) of a file, in order. Memory is the pool, whatever is asked for. Where the whole is asked for, its last
 * bytes come only after its SHA-256 has proved to be the exported file's: what has changed never ends well.
 * @param sha256 lower-case hex
 * @throws SourceReadFailed; the reason of `signal`
 */
export async function* readFile(
  file: OpenFile,
  { from, to }: Bytes,
  sha256: string,
  { buffers, hashers }: Engines,
  signal: AbortSignal
): ByteSource {
  using pool = new BufferPool(buffers, BUFFER_BYTES, BUFFERS)
  const chunks = readLayout(file, { from, to }, pool, signal)
  if (from > 0 || to < file.layout.length) {
    for await (const { bytes, release } of chunks) {
      yield bytes
      release()
    }
    return
  }
  using hash = hashers.start('sha256')
  yield* proved(chunks, hash, sha256)
}

async function* proved(chunks: AsyncIterable<Chunk>, hash: StreamHash, sha256: string): ByteSource {
  let held: (Chunk & { readonly hashed: Promise<void> }) | undefined
  for await (const { bytes, release } of chunks) {
    if (held) {
      yield held.bytes
      await held.hashed
      held.release()
    }
    const hashed = new Promise<void>((resolve) => hash.update(bytes, resolve))
    held = { bytes, release, hashed }
  }
  if ((await hash.digest()) !== sha256) throw new SourceReadFailed('it is not what was exported any more')
  if (!held) return
  yield held.bytes
  held.release()
}
