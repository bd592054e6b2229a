/** A table in the file: `offset` on a boundary of clusters or sectors after the header, `bytes` in use, inside the file. */
export type Table = { readonly offset: number; readonly bytes: number }

/** The table as numbers, when it starts on a unit after the header's and ends inside the file; else undefined. */
export function tableAt(offset: bigint, bytes: number, unitBytes: number, fileSize: number): Table | undefined {
  const fits = offset > 0n && offset % BigInt(unitBytes) === 0n && offset + BigInt(bytes) <= BigInt(fileSize)
  return fits ? { offset: Number(offset), bytes } : undefined
}
