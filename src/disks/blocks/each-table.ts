import type { RandomAccess } from '../disk.ts'

/** Tables are read several at once, up to this many bytes and tables: one by one is slow where they are small. */
const BATCH_BYTES = 256 * 1024
const BATCH_TABLES = 32

/**
 * The tables that exist, one after another. A table is valid until the next is asked for.
 * @param offsets of the tables; 0 where there is none
 */
export async function* eachTable(
  file: RandomAccess,
  offsets: Float64Array,
  tableBytes: number
): AsyncGenerator<{ index: number; table: Buffer }> {
  const tables = Array.from({ length: Math.max(1, Math.min(BATCH_TABLES, BATCH_BYTES / tableBytes)) }, () =>
    Buffer.alloc(tableBytes)
  )
  for (let next = 0; next < offsets.length; ) {
    const batch: { index: number; table: Buffer; offset: number }[] = []
    for (const table of tables) {
      while (offsets[next] === 0) next += 1
      const offset = offsets[next]
      if (offset === undefined) break
      batch.push({ index: next, table, offset })
      next += 1
    }
    await Promise.all(batch.map(({ table, offset }) => file.read(table, offset)))
    yield* batch
  }
}
