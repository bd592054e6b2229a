import { once } from 'node:events'
import { type IncomingHttpHeaders, type OutgoingHttpHeaders, request } from 'node:http'
import { text } from 'node:stream/consumers'

export type Answer = { readonly status: number; readonly headers: IncomingHttpHeaders; readonly body: string }

/** One exchange as it is on the wire: no redirect is followed, no header added but Host and the length of a body. */
export async function exchange(
  url: string,
  method: string,
  path: string,
  headers: OutgoingHttpHeaders = {},
  body?: string | Buffer
): Promise<Answer> {
  const { hostname, port } = new URL(url)
  const sent = request({ hostname, port, method, path, headers, agent: false })
  sent.end(body)
  const [response] = await once(sent, 'response')
  return { status: response.statusCode, headers: response.headers, body: await text(response) }
}
