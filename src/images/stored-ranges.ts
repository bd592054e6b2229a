import type { Range } from '../disks/disk.ts'
import { SourceReadFailed } from '../domain/errors.ts'

/** What stands beside the bytes of an upload: their number, and where they are not zeros. */
export type StoredRanges = { readonly size: number; readonly dataRanges: readonly Range[] }

export const formatStoredRanges = (stored: StoredRanges): string => JSON.stringify(stored)

/** Throws SourceReadFailed for anything that `formatStoredRanges` did not write. */
export function parseStoredRanges(text: string): StoredRanges {
  try {
    const stored: unknown = JSON.parse(text)
    if (isStoredRanges(stored)) return stored
  } catch (error) {
    throw new SourceReadFailed('the map of its data is damaged', { cause: error })
  }
  throw new SourceReadFailed('the map of its data is damaged')
}

function isStoredRanges(value: unknown): value is StoredRanges {
  if (!isObject(value) || !Number.isSafeInteger(value.size) || !Array.isArray(value.dataRanges)) return false
  let end = -1
  for (const range of value.dataRanges as unknown[]) {
    if (!isObject(range) || !Number.isSafeInteger(range.offset) || !Number.isSafeInteger(range.length)) return false
    const { offset, length } = range as Range
    if (offset <= end || length <= 0) return false
    end = offset + length
  }
  return end <= (value.size as number)
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null
