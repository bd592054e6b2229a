import type { ClusterLimits } from './info.ts'

export type Method = 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE'

/** What lets one request in. Secret. */
type Pass = {
  readonly headers: Readonly<Record<string, string>>
  readonly query: Readonly<Record<string, string>>
}

/** What a login has given. */
export type Login = {
  /** URL of the account, without a slash at its end. */
  readonly storage: URL
  /** The pass for a request to `path`, which is the whole path, not percent-encoded. */
  pass(method: Method, path: string, limits: () => Promise<ClusterLimits>): Pass | Promise<Pass>
  /** Milliseconds since 1970, where it is known. */
  readonly expiresAt: number | undefined
}

/** A way to be let in. */
export interface Access {
  /** Whether another login gives another token. */
  readonly renewable: boolean
  /** @throws DestinationError */
  login(signal: AbortSignal): Promise<Login>
}

/** Passes with a token are the same for every request. */
export const tokenLogin = (storage: URL, token: string, expiresAt: number | undefined): Login => ({
  storage,
  expiresAt,
  pass: () => ({ headers: { 'x-auth-token': token }, query: {} })
})
