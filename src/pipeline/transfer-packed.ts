import type { Engine } from './engine.ts'
import { type PackedSource, packedBody } from './pack-file.ts'
import { PartSender } from './part-sender.ts'
import { PassingFile } from './passing-file.ts'
import type { Sending } from './sending.ts'
import { UnitsContent } from './units-content.ts'
import type { Transferred, Wants } from './wants.ts'

/**
 * Compresses and sends in one pass, to an upload that takes parts in any order: what stands before the data depends on all of
 * it, so the parts of the head go last. The one that holds the end of the head and the beginning of the data waits for it.
 *
 * Where there is a head, the file cannot be hashed in its order without a second pass. Then the parts are hashed, and
 * `composite` is the SHA-256 of their digests joined in the file's order.
 */
export async function transferPacked(
  source: PackedSource,
  sending: Sending,
  engine: Engine,
  wants: Wants,
  onRead: (bytes: number) => void
): Promise<Transferred> {
  const { headBytes } = source.packing
  const { partBytes } = sending.upload
  const packer = source.packing.start()
  const inOrder = headBytes === 0
  using parts = new PartSender(sending, engine.buffers, { digests: !inOrder })
  const { signal } = parts
  using file = new PassingFile(engine, wants, inOrder, signal)
  using content = wants.contentHash ? new UnitsContent(engine, source.disk.virtualSize, signal) : undefined
  const write = async (at: number, bytes: Uint8Array) => {
    await file.take(at, bytes)
    await parts.write(at, bytes)
  }
  try {
    let at = headBytes
    for await (const chunk of packedBody(source, packer, {
      compressors: engine.compressors,
      signal,
      onRead,
      content
    })) {
      await write(at, chunk)
      at += chunk.length
    }
    const length = at
    at = 0
    for (const chunk of packer.head()) {
      await write(at, chunk)
      at += chunk.length
    }
    if (at !== headBytes) throw new Error(`the head has ${at} bytes where ${headBytes} were planned`)
    const composite = await parts.finish(length)
    return {
      bytes: length,
      parts: Math.ceil(length / partBytes),
      composite: composite === null ? null : { sha256: composite, partBytes },
      ...(await file.facts()),
      ...(await content?.digest())
    }
  } catch (error) {
    throw await parts.fail(error)
  }
}
