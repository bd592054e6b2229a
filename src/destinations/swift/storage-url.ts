import { failure } from '../failures.ts'

/**
 * The URL of the account that the login gave, if that is the account the user named.
 * @param given as the login service said it
 * @param override of the user: its host counts, and its path where it has one
 * @param named the account in `export_to`
 * @param alsoNamed other names of the account, such as its project's
 * @throws DestinationError
 */
export function storageUrl(
  given: string | undefined,
  override: URL | undefined,
  { named, alsoNamed, host }: { readonly named: string; readonly alsoNamed: readonly string[]; readonly host: string }
): URL {
  const url = withOverride(given, override)
  if (url === undefined) throw failure('noObjectStore', host)
  url.pathname = url.pathname.replace(/\/+$/, '')
  const account = decodeURIComponent(url.pathname.slice(url.pathname.lastIndexOf('/') + 1))
  // Ceph may be set up to leave the account out of the URL: then only the login knows it.
  const names = /^v1(?:\.0)?$/.test(account) ? alsoNamed : [account, ...alsoNamed]
  if (!names.includes(named)) throw failure('otherAccount', host)
  return url
}

function withOverride(given: string | undefined, override: URL | undefined): URL | undefined {
  const url = given === undefined ? undefined : (URL.parse(given) ?? undefined)
  if (override === undefined) return url !== undefined && /^https?:$/.test(url.protocol) ? url : undefined
  if (override.pathname !== '/') return new URL(override)
  return url && new URL(`${override.origin}${url.pathname}`)
}
