import type { Range } from '../../disks/disk.ts'
import { MiB, roundUp } from '../../domain/bytes.ts'

const PAGE_BYTES = MiB
const MAX_PAGES = 16

type Store = {
  load(offset: number, length: number): Promise<Uint8Array>
  store(bytes: Uint8Array, offset: number): Promise<void>
}

type Page = { readonly offset: number; readonly bytes: Uint8Array; changed: boolean }

/**
 * The bytes of a device, of which the pages that were used last are kept here: where a question takes as long as a mebibyte,
 * small ones are too many. One call at a time.
 */
export class Pages {
  readonly #store: Store
  readonly #bytes: number
  readonly #pages = new Map<number, Page>()

  /** @param bytes of the device */
  constructor(store: Store, bytes: number) {
    this.#store = store
    this.#bytes = bytes
  }

  async read(target: Uint8Array, offset: number): Promise<void> {
    for await (const { page, from, to, at } of this.#parts(offset, target.length)) {
      target.set(page.bytes.subarray(from, to), at)
    }
  }

  /** It is not stored before `flush`, or before others need the room. */
  async write(bytes: Uint8Array, offset: number): Promise<void> {
    for await (const { page, from, to, at } of this.#parts(offset, bytes.length)) {
      page.bytes.set(bytes.subarray(at, at + to - from), from)
      page.changed = true
    }
  }

  /**
   * Makes zeros of a range but for its whole pages, which are forgotten.
   * @returns the range of whole pages, which may be empty: the caller has to see to it
   */
  async zeroEdges({ offset, length }: Range): Promise<Range> {
    const end = offset + length
    const from = Math.min(end, roundUp(offset, PAGE_BYTES))
    const to = Math.max(from, Math.floor(end / PAGE_BYTES) * PAGE_BYTES)
    for (let at = from; at < to; at += PAGE_BYTES) this.#pages.delete(at)
    await this.write(new Uint8Array(from - offset), offset)
    await this.write(new Uint8Array(end - to), to)
    return { offset: from, length: to - from }
  }

  async flush(): Promise<void> {
    for (const page of this.#pages.values()) await this.#settle(page)
  }

  async *#parts(offset: number, length: number) {
    for (let at = 0; at < length; ) {
      const page = await this.#page(Math.floor((offset + at) / PAGE_BYTES) * PAGE_BYTES)
      const from = offset + at - page.offset
      const to = Math.min(page.bytes.length, from + length - at)
      if (from >= to) throw new RangeError('outside the device')
      yield { page, from, to, at }
      at += to - from
    }
  }

  /** The page that was used last is the last of the map. */
  async #page(offset: number): Promise<Page> {
    const kept = this.#pages.get(offset)
    const page = kept ?? { offset, bytes: await this.#load(offset), changed: false }
    this.#pages.delete(offset)
    this.#pages.set(offset, page)
    const [oldest] = this.#pages.values()
    if (oldest && this.#pages.size > MAX_PAGES) {
      await this.#settle(oldest)
      this.#pages.delete(oldest.offset)
    }
    return page
  }

  #load(offset: number): Promise<Uint8Array> {
    return this.#store.load(offset, Math.max(0, Math.min(PAGE_BYTES, this.#bytes - offset)))
  }

  async #settle(page: Page): Promise<void> {
    if (page.changed) await this.#store.store(page.bytes, page.offset)
    page.changed = false
  }
}
