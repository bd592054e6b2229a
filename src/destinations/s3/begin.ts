import { type ByteSource, oneChunk } from '../../domain/bytes.ts'
import { DestinationError } from '../../domain/destination-errors.ts'
import type { UploadTarget } from '../destination.ts'
import type { MultipartCalls } from './multipart.ts'
import type { Proof } from './send-part.ts'

/** An upload that was just begun, and what will show that the store has its parts. */
export type BegunUpload = { readonly uploadId: string; readonly proof: Proof }

/** For the answer of a call though its signal has fired: what nobody hears of, nobody removes. */
const PATIENCE_MS = 3_000

/**
 * Begins an upload. Where the store's ETags need not be MD5s, it is tried out what else shows which bytes it has. When the signal
 * fires meanwhile, the upload is removed.
 */
export async function beginUpload(
  calls: MultipartCalls,
  target: UploadTarget,
  signal: AbortSignal
): Promise<BegunUpload> {
  signal.throwIfAborted()
  const { uploadId, opaque } = await calls.create(target, patient(signal))
  try {
    signal.throwIfAborted()
    return { uploadId, proof: opaque ? await proofOf(calls, uploadId, signal) : 'etag' }
  } catch (error) {
    await calls.abort(uploadId, new AbortController().signal).catch(() => {}) // why it was not begun is what is told
    throw error
  }
}

/** Fires some time after `signal` does. */
export function patient(signal: AbortSignal): AbortSignal {
  const late = new AbortController()
  signal.addEventListener('abort', () => setTimeout(() => late.abort(signal.reason), PATIENCE_MS).unref(), {
    once: true
  })
  return late.signal
}

const PROBE = Buffer.from('Sent to see how parts can be proved. The first part takes its place.\n')
export const PROBE_BYTES = PROBE.length

/** By parts that the first one of the file will replace: none is completed without it. */
async function proofOf(calls: MultipartCalls, uploadId: string, signal: AbortSignal): Promise<Proof> {
  const part = { number: 1, length: PROBE.length }
  const plain = await calls.sendPart(uploadId, part, oneChunk(PROBE), { proof: 'none', signal })
  if (plain.proved) return 'md5' // so does Ceph, whoever has the key
  const proof = 'chunks'
  const changed = calls.sendPart(uploadId, part, oneChunk(PROBE), { proof, signal, onItsWay: withOtherByte })
  if ((await changed.catch(unlessRefused(signal))) !== undefined) return 'none'
  const signed = calls.sendPart(uploadId, part, oneChunk(PROBE), { proof, signal })
  return (await signed.catch(unlessRefused(signal, isLasting))) === undefined ? 'none' : 'chunks'
}

const unlessRefused =
  (signal: AbortSignal, isRefusal = (_error: DestinationError) => true) =>
  (error: unknown): undefined => {
    signal.throwIfAborted()
    if (!(error instanceof DestinationError && isRefusal(error))) throw error
  }

/** What a store does with signatures that it does not know; anything else may pass. */
const isLasting = ({ permanent, code }: DestinationError): boolean => permanent || code === 'DEST_INTEGRITY_MISMATCH'

/** Its first frame begins with a line of its own; the byte before its last line break is one of the probe. */
async function* withOtherByte(body: ByteSource): ByteSource {
  let isFirst = true
  for await (const frame of body) {
    const at = frame.length - 3
    if (isFirst) frame[at] = (frame[at] ?? 0) ^ 1
    isFirst = false
    yield frame
  }
}
