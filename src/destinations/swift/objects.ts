import type { ByteSource } from '../../domain/bytes.ts'
import type { Hashers } from '../../hashing/hashers.ts'
import { failure } from '../failures.ts'
import type { Range } from '../get.ts'
import type { Account } from './account.ts'
import { swiftFailure } from './failures.ts'
import { bareEtag, type Present, readPresent } from './headers.ts'
import { pathOf } from './place.ts'
import { jsonIn } from './text.ts'

/** Requests about objects and containers of one account, with their refusals as DestinationErrors. */
export class Objects {
  readonly account: Account
  readonly #hashers: Hashers

  constructor(account: Account, hashers: Hashers) {
    this.account = account
    this.#hashers = hashers
  }

  /**
   * Sends one object and compares what arrived with what was sent.
   * @returns the MD5, as Swift gives it in the ETag
   */
  async put(
    path: string,
    headers: Readonly<Record<string, string>>,
    body: { readonly length: number; readonly source: ByteSource },
    signal: AbortSignal
  ): Promise<string> {
    using md5 = this.#hashers.start('md5')
    const answer = await this.account.stream({ method: 'PUT', path, headers }, { ...body, md5 }, signal)
    const host = await this.account.host(signal)
    if (answer.status !== 201) throw swiftFailure(host, answer)
    const etag = bareEtag(answer.headers.etag)
    if (etag === '') throw failure('noReceipt', host)
    if (etag !== answer.md5) throw failure('bytesDiffer', host)
    return etag
  }

  async find(path: string, signal: AbortSignal): Promise<Present | { readonly status: 'absent' | 'unreadable' }> {
    const answer = await this.account.send({ method: 'HEAD', path }, signal)
    if (answer.status === 404) return { status: 'absent' }
    if (answer.status === 403) return { status: 'unreadable' }
    if (answer.status !== 200) throw swiftFailure(await this.account.host(signal), answer)
    return readPresent(answer.headers)
  }

  read(path: string, range: Range, signal: AbortSignal): ByteSource {
    return this.account.read(path, range, signal)
  }

  /** Adds to what is kept with an object; only its expiry is used. */
  async setHeaders(path: string, headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<void> {
    const answer = await this.account.send({ method: 'POST', path, headers }, signal)
    if (answer.status === 404) throw failure('uploadGone', await this.account.host(signal), { status: 404 })
    if (answer.status !== 202) throw swiftFailure(await this.account.host(signal), answer)
  }

  /** @returns whether there was one */
  async delete(path: string, signal: AbortSignal): Promise<boolean> {
    const answer = await this.account.send({ method: 'DELETE', path }, signal)
    if (answer.status === 404) return false
    if (answer.status !== 204 && answer.status !== 200) throw swiftFailure(await this.account.host(signal), answer)
    return true
  }

  /** Removes a static large object with its segments. Swift answers 200 and says in the body how it went. */
  async deleteWithSegments(path: string, signal: AbortSignal): Promise<void> {
    const answer = await this.account.send(
      {
        method: 'DELETE',
        path,
        query: { 'multipart-manifest': 'delete' },
        headers: { accept: 'application/json' },
        isLong: true
      },
      signal
    )
    if (answer.status === 404) return
    const host = await this.account.host(signal)
    if (answer.status === 204) return
    if (answer.status !== 200) throw swiftFailure(host, answer)
    if (readDeletions(answer.body, host) === undefined) throw failure('removalUnclear', host)
  }

  async container(name: string, signal: AbortSignal) {
    return this.account.send({ method: 'HEAD', path: pathOf(name) }, signal)
  }
}

/**
 * How many objects are gone by an answer of Swift's bulk middleware; undefined when it broke off before it said so.
 * @throws DestinationError when any is left
 */
export function readDeletions(body: string, host: string): number | undefined {
  const {
    'Number Deleted': deleted,
    'Response Status': whole,
    Errors: errors
  } = jsonIn(body) as Readonly<Record<string, unknown>>
  const refused: readonly unknown[] = Array.isArray(errors) ? errors : []
  const statuses = [...refused.map((error) => (Array.isArray(error) ? error[1] : undefined)), whole].map((status) =>
    Number.parseInt(String(status), 10)
  )
  const wrong = statuses.find((status) => status >= 300 && status !== 404)
  if (wrong !== undefined) throw swiftFailure(host, { status: wrong, headers: {}, body: '' })
  return typeof deleted === 'number' && !statuses.some(Number.isNaN) ? deleted : undefined
}
