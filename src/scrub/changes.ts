import { Refused } from './refused.ts'

/** 100 MiB of memory: what changes a disk in more pieces than this was made to. */
const MAX_PIECES = 1024 * 1024

/** Where the bytes of a piece come from: the file with the changes, nowhere (zeros), or the disk below. */
export type Piece = { readonly from: number; readonly to: number; readonly kind: 'file' | 'zeros' | 'below' }

/** Which ranges of a disk were changed, and how. Pieces of one kind that touch are one. */
export class Changes {
  /** In their order, apart from each other, none of them `below`. */
  readonly #pieces: Piece[] = []

  /** Throws Refused when there are too many pieces to keep. */
  set(from: number, to: number, kind: 'file' | 'zeros'): void {
    if (from >= to) return
    let start = from
    let end = to
    const first = this.#firstEndingFrom(from)
    const left = this.#pieces[first]
    const fresh: Piece[] = []
    if (left && left.from <= from) {
      if (left.kind === kind) start = left.from
      else if (left.from < from) fresh.push({ ...left, to: from })
    }
    let last = first
    let behind: Piece | undefined
    for (let piece = this.#pieces[last]; piece && piece.from <= to; piece = this.#pieces[last]) {
      if (piece.kind === kind) end = Math.max(end, piece.to)
      else if (piece.from === to) break
      else if (piece.to > to) behind = { ...piece, from: to }
      last += 1
    }
    fresh.push({ from: start, to: end, kind })
    if (behind) fresh.push(behind)
    this.#pieces.splice(first, last - first, ...fresh)
    if (this.#pieces.length > MAX_PIECES) throw new Refused('too-many-changes', 'it was changed in too many pieces')
  }

  /** All of [from, to), cut where its kind changes. */
  *within(from: number, to: number): Generator<Piece, void> {
    let at = from
    for (let i = this.#firstEndingFrom(from + 1); at < to; i += 1) {
      const piece = this.#pieces[i]
      if (!piece || piece.from >= to) break
      if (piece.from > at) yield { from: at, to: piece.from, kind: 'below' }
      const end = Math.min(piece.to, to)
      yield { from: Math.max(piece.from, at), to: end, kind: piece.kind }
      at = end
    }
    if (at < to) yield { from: at, to, kind: 'below' }
  }

  /** What was changed, in its order; ranges that touch are one, of whatever kind. */
  *ranges(): Generator<{ readonly from: number; readonly to: number }, void> {
    let joined: { from: number; to: number } | undefined
    for (const { from, to } of this.#pieces) {
      if (joined?.to === from) joined = { from: joined.from, to }
      else {
        if (joined) yield joined
        joined = { from, to }
      }
    }
    if (joined) yield joined
  }

  get bytes(): number {
    return this.#pieces.reduce((sum, { from, to }) => sum + to - from, 0)
  }

  /** As it is now, whatever is changed later. */
  copy(): Changes {
    const copy = new Changes()
    // Not spread: there may be more of them than a call has arguments.
    for (const piece of this.#pieces) copy.#pieces.push(piece)
    return copy
  }

  /** Index of the first piece that ends at `offset` or behind it. */
  #firstEndingFrom(offset: number): number {
    let low = 0
    let high = this.#pieces.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#pieces[middle]?.to ?? Infinity) < offset) low = middle + 1
      else high = middle
    }
    return low
  }
}
