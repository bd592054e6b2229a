import type { SentPart, UploadState } from './destination.ts'

/** What an upload that is gone on with begins with: the size of its parts and those that it has already. */
export type Begun = { readonly partBytes: number; readonly kept: readonly SentPart[] }

/** Read back from `partBytes` of a state; undefined for the state of an upload that cannot be gone on with. */
export function recordedPartBytes({ partBytes }: UploadState): number | undefined {
  const bytes = Number(partBytes)
  return Number.isSafeInteger(bytes) && bytes > 0 ? bytes : undefined
}

/** Whether an upload with this state may be gone on with later. */
export const isResumable = (state: UploadState | null): boolean =>
  state !== null && recordedPartBytes(state) !== undefined

/** Where in the file a part ends. */
const endOf = ({ number, bytes }: SentPart, partBytes: number): number => (number - 1) * partBytes + bytes

/** Where the last of these parts ends; 0 when there is none. */
export const endOfAll = ({ partBytes, kept }: Begun): number =>
  kept.reduce((end, part) => Math.max(end, endOf(part, partBytes)), 0)

/** The parts that lie in a file of `size` bytes. */
export const partsWithin = (sent: readonly SentPart[], partBytes: number, size: number): readonly SentPart[] =>
  sent.filter((part) => endOf(part, partBytes) <= size)
