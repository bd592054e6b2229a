/** A table in the file: `offset` on a cluster boundary after the header, `bytes` of it in use and inside the file. */
export type Table = { readonly offset: number; readonly bytes: number }

/** The table as numbers, when it starts on a cluster after the header's and ends inside the file; else undefined. */
export function tableAt(offset: bigint, bytes: number, clusterBytes: number, fileSize: number): Table | undefined {
  const fits = offset > 0n && offset % BigInt(clusterBytes) === 0n && offset + BigInt(bytes) <= BigInt(fileSize)
  return fits ? { offset: Number(offset), bytes } : undefined
}
