import type { IncomingHttpHeaders } from 'node:http'
import { namesEtag } from './etag.ts'

/** What a representation is known by. */
export type Validators = {
  /** Strong, with its quotes. */
  readonly etag: string
  readonly lastModified: Date
}

/** Bytes [from, to) of the representation. */
export type ByteRange = { readonly from: number; readonly to: number }

export type Verdict =
  | { readonly status: 200 }
  | ({ readonly status: 206 } & ByteRange)
  | { readonly status: 304 | 412 | 416 }

/**
 * What a GET or HEAD of a representation of `length` bytes is answered with, by its conditions and its range. One range is
 * served; several, and what is not understood, get the whole, as RFC 9110 allows.
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-13.2.2 precedence, section 14.2 Range
 */
export function verdictOn(
  method: string,
  headers: IncomingHttpHeaders,
  validators: Validators,
  length: number
): Verdict {
  const failed = preconditionOf(headers, validators)
  if (failed !== undefined) return { status: failed }
  if (method !== 'GET' || headers.range === undefined || !isCurrent(headers['if-range'], validators)) {
    return { status: 200 }
  }
  const range = rangeOf(headers.range, length)
  if (range === undefined) return { status: 200 }
  return range.from < range.to ? { status: 206, ...range } : { status: 416 }
}

function preconditionOf(headers: IncomingHttpHeaders, { etag, lastModified }: Validators): 304 | 412 | undefined {
  const { 'if-match': match, 'if-none-match': noneMatch } = headers
  if (match !== undefined) {
    if (!namesEtag(match, etag)) return 412
  } else if (secondsOf(headers['if-unmodified-since']) < secondsOf(lastModified)) return 412
  if (noneMatch !== undefined) return namesEtag(noneMatch, etag, 'weakly') ? 304 : undefined
  return secondsOf(headers['if-modified-since']) >= secondsOf(lastModified) ? 304 : undefined
}

/** NaN for what is no date, which is neither before nor after anything. */
const secondsOf = (date: Date | string | undefined): number =>
  Math.floor((date instanceof Date ? date.getTime() : Date.parse(date ?? '')) / 1000)

/** Whether the range may be given out: the client's part is of this very representation. */
function isCurrent(ifRange: IncomingHttpHeaders['if-range'], { etag, lastModified }: Validators): boolean {
  if (ifRange === undefined) return true
  if (Array.isArray(ifRange)) return false
  if (ifRange.startsWith('"') || ifRange.startsWith('W/')) return ifRange === etag
  return secondsOf(ifRange) === secondsOf(lastModified)
}

/** Undefined for what is to be ignored; empty for what cannot be satisfied. */
function rangeOf(header: string, length: number): ByteRange | undefined {
  const [, first = '', last = ''] = /^bytes=[ \t]*(\d*)-(\d*)[ \t]*$/i.exec(header) ?? []
  if (first === '') return last === '' ? undefined : { from: Math.max(0, length - Number(last)), to: length }
  if (last !== '' && Number(last) < Number(first)) return undefined
  return { from: Number(first), to: last === '' ? length : Math.min(length, Number(last) + 1) }
}
