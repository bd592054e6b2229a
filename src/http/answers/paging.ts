/** Entries a page, as Glance has it. */
export const DEFAULT_LIMIT = 25
export const MAX_LIMIT = 1000

type Query = Readonly<Record<string, unknown>>

const pageLimit = (limit: string | undefined): number =>
  limit === undefined ? DEFAULT_LIMIT : Math.min(Number(limit), MAX_LIMIT)

/**
 * One page of a list and the paths of the first and the next. `list` is asked for one entry more than the page holds, so that
 * `next` is there exactly when something follows. Links are paths: python-glanceclient puts its endpoint before them.
 */
export async function page<T extends { readonly id: string }>(
  path: string,
  query: Query & { readonly limit?: string },
  list: (limit: number) => Promise<readonly T[]>
): Promise<{ entries: readonly T[]; links: { first: string; next?: string } }> {
  const limit = pageLimit(query.limit)
  const found = limit === 0 ? [] : await list(limit + 1)
  const entries = found.slice(0, limit)
  const last = entries.at(-1)
  const first = link(path, { ...query, marker: undefined })
  if (found.length <= limit || !last) return { entries, links: { first } }
  return { entries, links: { first, next: link(path, { ...query, marker: last.id }) } }
}

function link(path: string, query: Query): string {
  const given = Object.entries(query).filter((entry): entry is [string, string] => typeof entry[1] === 'string')
  return given.length === 0 ? path : `${path}?${new URLSearchParams(given)}`
}
