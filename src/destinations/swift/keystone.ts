import { MiB, oneChunk } from '../../domain/bytes.ts'
import type { Connections } from '../connection.ts'
import { failure } from '../failures.ts'
import { get } from '../get.ts'
import { put } from '../put.ts'
import { loginFailure } from './failures.ts'
import { type Access, type Login, tokenLogin } from './login.ts'
import type { KeystoneCredentials } from './settings.ts'
import { storageUrl } from './storage-url.ts'
import { jsonIn, textOf } from './text.ts'

/** Catalogues of clouds with many regions have hundreds of KiB. */
const MAX_CATALOGUE_BYTES = 2 * MiB

/** What is read of Keystone's answers; everything may be absent. */
type Token = { readonly expires_at?: string; readonly project?: { readonly id?: string; readonly name?: string } }
type Service = { readonly type?: string; readonly endpoints?: readonly Endpoint[] }
type Endpoint = {
  readonly interface?: string
  readonly region?: string
  readonly region_id?: string
  readonly url?: string
}

/**
 * Keystone's version 3. The account is the object store's endpoint in the catalogue.
 * @see https://docs.openstack.org/api-ref/identity/v3/
 */
export function keystoneAccess(credentials: KeystoneCredentials, account: string, connections: Connections): Access {
  return {
    renewable: credentials.kind !== 'token',
    async login(signal) {
      const { authUrl, endpoint, tls } = credentials
      const calls = new KeystoneCalls(authUrl, () => connections.withTls(tls ?? {}), signal)
      const { token, about } =
        credentials.kind === 'token'
          ? { token: credentials.token, about: await calls.inspect(credentials.token) }
          : await calls.issue(bodyOf(credentials))
      const knowsAll = endpoint !== undefined && endpoint.pathname !== '/'
      const given = knowsAll ? undefined : objectStoreIn(await calls.catalogue(token), credentials)
      const { id, name } = about.project ?? {}
      const storage = storageUrl(given, endpoint, {
        named: account,
        alsoNamed: [id, name].filter((one) => one !== undefined),
        host: authUrl.host
      })
      return tokenLogin(storage, token, timeOf(about.expires_at)) satisfies Login
    }
  }
}

class KeystoneCalls {
  readonly #url: URL
  /** One for each request: behind uWSGI, Keystone ends a connection after its answer without a word. */
  readonly #connection: () => Connections & Disposable
  readonly #signal: AbortSignal

  constructor(url: URL, connection: () => Connections & Disposable, signal: AbortSignal) {
    this.#url = url
    this.#connection = connection
    this.#signal = signal
  }

  async issue(body: object): Promise<{ readonly token: string; readonly about: Token }> {
    using connections = this.#connection()
    const bytes = Buffer.from(JSON.stringify(body))
    const answer = await put({
      ...this.#request('/auth/tokens?nocatalog', { 'content-type': 'application/json' }, connections),
      method: 'POST',
      length: bytes.length,
      body: oneChunk(bytes)
    })
    const token = answer.headers['x-subject-token']
    if (answer.status !== 201 || typeof token !== 'string') throw loginFailure(this.#url.host, answer)
    return { token, about: tokenIn(answer.body) }
  }

  /** What Keystone tells the bearer of a token about it, where policy lets it. */
  async inspect(token: string): Promise<Token> {
    using connections = this.#connection()
    const headers = { 'x-auth-token': token, 'x-subject-token': token }
    const request = this.#request('/auth/tokens?nocatalog', headers, connections)
    const answer = await put({ ...request, method: 'GET', length: 0 })
    if (answer.status === 200) return tokenIn(answer.body)
    if (answer.status === 403) return {}
    // An unknown token is one that does not exist.
    const { host } = this.#url
    throw answer.status === 404 ? failure('unauthorized', host, { status: 404 }) : loginFailure(host, answer)
  }

  async catalogue(token: string): Promise<readonly Service[]> {
    using connections = this.#connection()
    using answer = await get(this.#request('/auth/catalog', { 'x-auth-token': token }, connections))
    if (answer.status !== 200) throw loginFailure(this.#url.host, { ...answer, body: '' })
    const body = await textOf(answer.body, MAX_CATALOGUE_BYTES)
    if (body === undefined) throw failure('endlessList', this.#url.host)
    const { catalog } = jsonIn(body) as { readonly catalog?: readonly Service[] }
    return Array.isArray(catalog) ? catalog.filter((service) => service instanceof Object) : []
  }

  #request(path: string, headers: Readonly<Record<string, string>>, connections: Connections) {
    const url = new URL(`${this.#url.href}${path}`)
    return {
      url,
      headers: { ...headers, accept: 'application/json' },
      connections,
      credentials: true,
      signal: this.#signal
    }
  }
}

function bodyOf(credentials: Exclude<KeystoneCredentials, { readonly kind: 'token' }>): object {
  if (credentials.kind === 'application_credential') {
    const { id, secret } = credentials
    return { auth: { identity: { methods: ['application_credential'], application_credential: { id, secret } } } }
  }
  const { username, password, userDomain, project } = credentials
  const user = { name: username, password, domain: userDomain }
  return { auth: { identity: { methods: ['password'], password: { user } }, scope: { project } } }
}

function objectStoreIn(
  catalogue: readonly Service[],
  wanted: { readonly region: string | undefined; readonly interface: string }
): string | undefined {
  return catalogue
    .filter(({ type }) => type === 'object-store')
    .flatMap(({ endpoints }) => endpoints ?? [])
    .filter((endpoint) => endpoint?.interface === wanted.interface)
    .find(({ region, region_id }) => [undefined, region, region_id].includes(wanted.region))?.url
}

const tokenIn = (body: string): Token => (jsonIn(body) as { readonly token?: Token }).token ?? {}

function timeOf(text: string | undefined): number | undefined {
  const time = Date.parse(text ?? '')
  return Number.isNaN(time) ? undefined : time
}
