import type { AddressPolicy } from '../address.ts'
import type { Connections } from '../connection.ts'
import type { Destination, Part, Upload, UploadTarget } from '../destination.ts'
import { statusFailure } from '../failures.ts'
import { put } from '../put.ts'
import { PartsUnderWay } from '../under-way.ts'
import { authorization, HTTP_CREDENTIALS } from './credentials.ts'

/**
 * Writes the file with one PUT (RFC 9110), as WebDAV servers, artefact stores and many gateways take it. The server decides
 * when the object can be seen; most show it at once, and some keep what came of a broken request. So what was not committed
 * is removed with a DELETE; the object's name is a new UUID, so it cannot be somebody else's.
 */
export function createHttpDestination(uses: {
  readonly policy: AddressPolicy
  readonly connections: Connections
}): Destination {
  return {
    schemes: ['http', 'https'],
    credentialSchemas: HTTP_CREDENTIALS,
    anonymous: true,
    anyOrder: false,
    check(url, credentials) {
      authorization(credentials)
      uses.policy.checkHost(url, { credentials: credentials !== undefined, pointer: '/export_to' })
    },
    open: async (target) => new HttpUpload(uses.connections, target),
    discard: (target, _state, signal) => remove(uses.connections, target, signal)
  }
}

class HttpUpload implements Upload {
  readonly partBytes: number
  readonly parallel = 1
  /** Empty, not null: the name of the object says everything that a removal needs. */
  readonly state = {}
  readonly #connections: Connections
  readonly #target: UploadTarget
  readonly #underWay = new PartsUnderWay()
  #remains = false

  constructor(connections: Connections, target: UploadTarget) {
    this.#connections = connections
    this.#target = target
    this.partBytes = target.length
  }

  putPart(part: Part, body: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void> {
    return this.#underWay.run(signal, async (either) => {
      this.#remains = true
      const { url, mediaType } = this.#target
      const answer = await put({
        ...access(this.#connections, this.#target, { 'content-type': mediaType }),
        method: 'PUT',
        length: part.length,
        body,
        signal: either
      })
      if (answer.status < 200 || answer.status >= 300) throw statusFailure(url.host, answer.status)
    })
  }

  async commit(): Promise<string> {
    this.#remains = false
    return this.#target.url.href
  }

  async abort(): Promise<void> {
    await this.#underWay.stop()
    if (!this.#remains) return
    await remove(this.#connections, this.#target, new AbortController().signal)
    this.#remains = false
  }
}

const access = (connections: Connections, target: UploadTarget, headers: Record<string, string>) => ({
  url: target.url,
  headers: { ...headers, ...authorization(target.credentials?.unwrap()) },
  connections,
  credentials: target.credentials !== undefined
})

/** Answers to a DELETE after which nothing more can be done: gone already, or a server that only takes uploads. */
const NOTHING_TO_REMOVE = [401, 403, 404, 405, 410, 501]

async function remove(connections: Connections, target: UploadTarget, signal: AbortSignal): Promise<void> {
  const { status } = await put({ ...access(connections, target, {}), method: 'DELETE', length: 0, signal })
  const done = (status >= 200 && status < 300) || NOTHING_TO_REMOVE.includes(status)
  if (!done) throw statusFailure(target.url.host, status)
}
