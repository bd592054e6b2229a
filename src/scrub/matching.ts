import type { GuestEntry, GuestFiles } from './guest.ts'

export type Found = GuestEntry & { readonly path: string }

/**
 * What a pattern names: a path from the root in which `*` stands for any part of one name. Names with `*` in them are only
 * found, never made into patterns.
 */
export async function* matching(files: GuestFiles, pattern: string): AsyncGenerator<Found> {
  const names = pattern.split('/').filter((name) => name !== '')
  yield* below(files, '', names)
}

async function* below(files: GuestFiles, folder: string, names: readonly string[]): AsyncGenerator<Found> {
  const [name, ...rest] = names
  if (name === undefined) return
  if (!name.includes('*')) {
    const path = `${folder}/${name}`
    if (rest.length > 0) return yield* below(files, path, rest)
    const entry = await files.stat(path)
    if (entry) yield { ...entry, path }
    return
  }
  const wanted = expressionOf(name)
  for (const entry of await files.list(folder || '/')) {
    if (!wanted.test(entry.name)) continue
    const path = `${folder}/${entry.name}`
    if (rest.length === 0) yield { ...entry, path }
    else if (entry.kind === 'folder') yield* below(files, path, rest)
  }
}

/** A name may hold line breaks. Unlike with shells, `*` stands for hidden names too: nothing is to hide from a scrub. */
function expressionOf(name: string): RegExp {
  const parts = name.split('*').map((part) => part.replaceAll(/[\\^$.|?+()[\]{}]/g, '\\$&'))
  return new RegExp(`^${parts.join('.*')}$`, 's')
}
