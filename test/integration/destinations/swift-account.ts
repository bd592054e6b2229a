import { request } from 'node:http'
import { buffer } from 'node:stream/consumers'

/** One account of a Swift server, to look at what the destination made of it; speaks plain HTTP, with nothing of ours. */
export class TestAccount {
  readonly storageUrl: string
  readonly token: string

  constructor(storageUrl: string, token: string) {
    this.storageUrl = storageUrl
    this.token = token
  }

  static async v1(authUrl: string, user: string, key: string): Promise<TestAccount> {
    const { headers } = await fetch(authUrl, { headers: { 'x-auth-user': user, 'x-auth-key': key } })
    return new TestAccount(headers.get('x-storage-url') ?? '', headers.get('x-auth-token') ?? '')
  }

  /** The last part of the storage URL. */
  get name(): string {
    return this.storageUrl.slice(this.storageUrl.lastIndexOf('/') + 1)
  }

  /** @param path percent-encoded, below the account */
  async call(method: string, path: string, options: { headers?: Record<string, string>; body?: Buffer | string } = {}) {
    const { headers = {}, body = '' } = options
    return await new Promise<{ status: number; headers: Record<string, string>; body: Buffer }>((resolve, reject) => {
      const sent = request(`${this.storageUrl}${path}`, {
        method,
        headers: { 'x-auth-token': this.token, 'content-length': String(Buffer.byteLength(body)), ...headers }
      })
      sent.on('error', reject)
      sent.on('response', (response) => {
        const answered = (read: Buffer) =>
          resolve({
            status: response.statusCode ?? 0,
            headers: Object.fromEntries(Object.entries(response.headers).map(([name, value]) => [name, String(value)])),
            body: read
          })
        buffer(response).then(answered, reject)
      })
      sent.end(body)
    })
  }

  async put(path: string, body: Buffer | string = '', headers: Record<string, string> = {}): Promise<void> {
    const { status } = await this.call('PUT', path, { body, headers })
    if (status >= 300) throw new Error(`PUT ${path} was answered with ${status}`)
  }

  async get(path: string): Promise<Buffer | undefined> {
    const { status, body } = await this.call('GET', path)
    return status === 200 ? body : undefined
  }

  async head(path: string): Promise<Record<string, string> | undefined> {
    const { status, headers } = await this.call('HEAD', path)
    return status < 300 ? headers : undefined
  }

  /** Names of the objects of a container; none when there is no container. */
  async list(container: string): Promise<string[]> {
    const { status, body } = await this.call('GET', `/${container}?format=plain`)
    return status === 200 ? body.toString().split('\n').filter(Boolean) : []
  }

  /** Objects, and segments that no object of the container uses. */
  async kept(container: string): Promise<number> {
    const [objects, segments] = [await this.list(container), await this.list(`${container}_segments`)]
    const orphans = segments.filter((name) => !objects.includes(name.split('/').slice(0, -2).join('/')))
    return objects.length + orphans.length
  }
}
