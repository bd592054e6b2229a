import { readlink, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'

/** Removes a stopped service's DATA_DIR, and its cluster where that lies elsewhere (root without user namespaces). */
export async function removeDataDir(dataDir: string): Promise<void> {
  const cluster = await readlink(join(dataDir, 'postgres')).catch(() => undefined)
  // A server whose service was just killed may still be writing its last files.
  const thoroughly = { recursive: true, force: true, maxRetries: 10 } as const
  if (cluster) await rm(dirname(cluster), thoroughly)
  await rm(dataDir, thoroughly)
}
