import type { ByteSource } from '../domain/bytes.ts'
import type { Engine } from './engine.ts'
import { type Measured, type PackedSource, packedBody } from './pack-file.ts'
import { PartSender } from './part-sender.ts'
import { PassingFile } from './passing-file.ts'
import type { Sending } from './sending.ts'
import type { Transferred, Wants } from './wants.ts'

type MeasuredFile = { readonly source: PackedSource; readonly measured: Measured }
type OnRead = (bytes: number) => void

/**
 * Sends the file front to back as one body, for destinations that want its length first: the first pass has told the length
 * and the head (see `measure`). What that pass could not keep is compressed a second time, and once more for every time that
 * the body has to be sent again.
 */
export async function transferMeasured(
  file: MeasuredFile,
  { upload, retries, signal }: Sending,
  engine: Engine,
  wants: Wants,
  onRead: OnRead
): Promise<Transferred> {
  const { length } = file.measured
  let given = 0
  const putAll = async () => {
    given = 0
    let read = 0
    using passing = new PassingFile(engine, wants, true, signal)
    const chunks = fileBytes(file, engine, signal, (bytes) => {
      read += bytes
      onRead(bytes)
    })
    async function* body(): ByteSource {
      for await (const chunk of chunks) {
        await passing.take(given, chunk)
        yield chunk
        given += chunk.length
      }
    }
    try {
      await upload.putPart({ number: 1, offset: 0, length }, body(), signal)
      return await passing.facts()
    } catch (error) {
      onRead(-read)
      throw error
    }
  }
  const facts = await retries.run(signal, putAll, () => given)
  return { bytes: length, parts: 1, composite: null, ...facts }
}

/** The same in parts, front to back, so that the whole is hashed on the way. */
export async function transferMeasuredInParts(
  file: MeasuredFile,
  sending: Sending,
  engine: Engine,
  wants: Wants,
  onRead: OnRead
): Promise<Transferred> {
  const { length } = file.measured
  using parts = new PartSender(sending, engine.buffers, { digests: false })
  using passing = new PassingFile(engine, wants, true, parts.signal)
  try {
    let at = 0
    for await (const chunk of fileBytes(file, engine, parts.signal, onRead)) {
      await passing.take(at, chunk)
      await parts.write(at, chunk)
      at += chunk.length
    }
    await parts.finish(length)
    const count = Math.ceil(length / sending.upload.partBytes)
    return { bytes: length, parts: count, composite: null, ...(await passing.facts()) }
  } catch (error) {
    throw await parts.fail(error)
  }
}

/** The whole file once, from its beginning. */
async function* fileBytes(
  { source, measured: { length, packer, body } }: MeasuredFile,
  { compressors }: Pick<Engine, 'compressors'>,
  signal: AbortSignal,
  onRead: OnRead
): ByteSource {
  yield* packer.head()
  if (!body.whole) {
    yield* packedBody(source, source.packing.start(), { compressors, signal, onRead })
    return
  }
  const { total, unitBytes } = source.packing.units
  const shareOfByte = (total * unitBytes) / (length - source.packing.headBytes)
  for (const chunk of body.chunks()) {
    yield chunk
    onRead(chunk.length * shareOfByte)
  }
}
