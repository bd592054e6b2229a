import { MiB } from '../domain/bytes.ts'
import type { GuestEntry, GuestFiles } from './guest.ts'

/** More than any guest that people use; the rest of a list that goes on for ever is not looked at. */
const MAX_HOMES = 10_000

/** Users' folders, in the order of their names: root's, those below /home, and what /etc/passwd calls one. */
export async function homesOf(files: GuestFiles): Promise<readonly string[]> {
  const homes = new Set(['/root'])
  for (const { name, kind } of await files.list('/home')) if (kind === 'folder') homes.add(`/home/${name}`)
  const passwd = (await files.read('/etc/passwd', MiB))?.toString('latin1') ?? ''
  for (const line of passwd.split('\n')) {
    const home = (line.split(':')[5] ?? '').replace(/\/+$/, '')
    if (isPlain(home)) homes.add(home)
  }
  return [...homes].sort().slice(0, MAX_HOMES)
}

/** An absolute path that goes nowhere but down. */
const isPlain = (path: string): boolean =>
  path.startsWith('/') &&
  !path.includes('\0') &&
  path
    .slice(1)
    .split('/')
    .every((name) => name !== '' && name !== '.' && name !== '..')

/** What stands in users' folders under one of these names, each a name or a path below the folder. */
export async function* inHomes(
  files: GuestFiles,
  paths: readonly string[]
): AsyncGenerator<GuestEntry & { readonly path: string }> {
  for (const home of await homesOf(files)) {
    const there = new Set((await files.list(home)).map(({ name }) => name))
    for (const path of paths) {
      if (!there.has(path.split('/', 1)[0] ?? '')) continue
      const entry = await files.stat(`${home}/${path}`)
      if (entry) yield { ...entry, path: `${home}/${path}` }
    }
  }
}
