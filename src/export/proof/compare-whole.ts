import { createHash } from 'node:crypto'
import type { Destination, UploadTarget } from '../../destinations/destination.ts'
import { VerifyFailed } from '../../domain/export-errors.ts'
import type { Checksum } from '../../domain/export-options.ts'
import type { SentFile } from '../../domain/task.ts'

/** Of a whole object; lower-case hex. */
export type Digests = { readonly sha256: string } & Partial<Readonly<Record<Checksum, string>>>

/**
 * Reads the whole object and compares its SHA-256, or that of its parts, with what was sent.
 * @returns its SHA-256, and the other digests that were asked for
 * @throws VerifyFailed
 */
export async function compareWhole(
  destination: Destination,
  target: UploadTarget,
  { bytes, sha256, composite }: SentFile,
  checksums: readonly Checksum[],
  signal: AbortSignal
): Promise<Digests> {
  const whole = createHash('sha256')
  const others = checksums.filter((name) => name !== 'sha256').map((name) => ({ name, hash: createHash(name) }))
  const parts = composite && new PartDigests(composite.partBytes)
  let length = 0
  for await (const chunk of destination.read(target, { from: 0, to: bytes }, signal)) {
    whole.update(chunk)
    for (const { hash } of others) hash.update(chunk)
    parts?.update(chunk)
    length += chunk.length
  }
  if (length !== bytes) throw new VerifyFailed(`gave ${length} bytes where ${bytes} were sent`)
  const found = whole.digest('hex')
  const same = sha256 === null ? parts?.digest() === composite?.sha256 : found === sha256
  if (!same) throw new VerifyFailed('has another SHA-256 than what was sent')
  return { sha256: found, ...Object.fromEntries(others.map(({ name, hash }) => [name, hash.digest('hex')])) }
}

/** SHA-256 of the SHA-256 of every part, as parts are hashed that are sent out of order. */
class PartDigests {
  readonly #partBytes: number
  readonly #digests: Buffer[] = []
  #part = createHash('sha256')
  #filled = 0

  constructor(partBytes: number) {
    this.#partBytes = partBytes
  }

  update(chunk: Uint8Array): void {
    for (let from = 0; from < chunk.length; ) {
      const piece = chunk.subarray(from, from + this.#partBytes - this.#filled)
      this.#part.update(piece)
      this.#filled += piece.length
      from += piece.length
      if (this.#filled === this.#partBytes) this.#endPart()
    }
  }

  digest(): string {
    if (this.#filled > 0) this.#endPart()
    return createHash('sha256').update(Buffer.concat(this.#digests)).digest('hex')
  }

  #endPart(): void {
    this.#digests.push(this.#part.digest())
    this.#part = createHash('sha256')
    this.#filled = 0
  }
}
