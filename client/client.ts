import createClient, { type Client } from 'openapi-fetch'
import type { components, paths } from './schema.d.ts'

export { type CreateOptions, createExport } from './create-export.ts'
export { RequestRefused, TaskFailed } from './errors.ts'
export { type WaitOptions, waitForTask } from './wait-for-task.ts'

/** Every call of the service's OpenAPI document, with its types: `client.GET('/v2/tasks', { params: { query } })`. */
export type ExportClient = Client<paths>
export type Task = components['schemas']['Task']
export type ExportRequest = components['schemas']['ExportRequest']

export type ClientOptions = {
  /** Root of the service, without `/v2`. */
  readonly url: string
  /** For X-Auth-Token. A function is asked before every request, so that long waits outlive a token. */
  readonly token: string | (() => string | Promise<string>)
  /** Instead of the global one. */
  readonly fetch?: (request: Request) => Promise<Response>
}

/** @throws TypeError for a `url` that is none */
export function createExportClient({ url, token, fetch }: ClientOptions): ExportClient {
  const client = createClient<paths>({ baseUrl: new URL(url).href, ...(fetch && { fetch }) })
  client.use({
    async onRequest({ request }) {
      request.headers.set('x-auth-token', typeof token === 'function' ? await token() : token)
    }
  })
  return client
}
