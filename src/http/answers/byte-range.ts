import type { Range } from '../../disks/disk.ts'
import { RequestRefused } from '../requests/request-refused.ts'

/**
 * The one range of `Range` (RFC 9110 section 14.2) in something of `size` bytes; undefined when there is no such header.
 * @throws RequestRefused 400 for several ranges, 416 for one that is not understood or that begins past the end
 */
export function parseRange(header: string | undefined, size: number): Range | undefined {
  if (header === undefined) return undefined
  if (header.includes(',')) throw new RequestRefused(400, 'Only one range can be asked for.')
  const [, first = '', last = ''] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header) ?? []
  const range = first === '' ? lastBytes(last, size) : fromTo(Number(first), last, size)
  if (range.length <= 0) {
    throw new RequestRefused(416, 'The range is not satisfiable.', { headers: { 'content-range': `bytes */${size}` } })
  }
  return range
}

const fromTo = (offset: number, last: string, size: number): Range => ({
  offset,
  length: (last === '' ? size : Math.min(Number(last) + 1, size)) - offset
})

/** `bytes=-500`: the last 500. Number of no digits is 0, which cannot be satisfied. */
const lastBytes = (count: string, size: number): Range => {
  const length = Math.min(Number(count), size)
  return { offset: size - length, length }
}
