import { existsSync } from 'node:fs'

/** Where this machine has its own packages from, for others of the same kind. */
export function aptSources(): string {
  const path = ['/etc/apt/sources.list.d/debian.sources', '/etc/apt/sources.list'].find((one) => existsSync(one))
  if (!path) throw new Error('there is no Debian here to take packages from')
  return path
}
