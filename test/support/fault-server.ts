import { once } from 'node:events'
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export type Fault =
  /** Breaks the connection (RST) after that many bytes of the body. */
  | { readonly kind: 'reset'; readonly afterBytes: number }
  /** Reads nothing and answers nothing. */
  | { readonly kind: 'stall' }
  /** Reads everything and answers nothing. */
  | { readonly kind: 'hang' }
  /** Answers at once, or after that many bytes of the body and with a reset; does not hand the request on. */
  | {
      readonly kind: 'answer'
      readonly status: number
      readonly afterBytes?: number
      readonly headers?: Readonly<Record<string, string>>
      readonly body?: string | Buffer
    }
  /** Answers at once, with a text that never ends. */
  | { readonly kind: 'endless answer'; readonly status: number }
  /** Hands the request on and breaks the connection instead of answering. */
  | { readonly kind: 'lose answer' }
  /** Hands the request on at once, and its answer so much later. */
  | { readonly kind: 'late answer'; readonly afterMs: number }
  /** Flips a bit of the body at that place on the way. */
  | { readonly kind: 'corrupt'; readonly atByte: number }
  /** Hands on that many bytes of the body only, as if they were all. */
  | { readonly kind: 'shorten'; readonly toBytes: number }
  /** Hands the request on, with other headers in the answer; undefined takes one out. */
  | { readonly kind: 'change headers'; readonly headers: Readonly<Record<string, string | undefined>> }

export type Match = (request: { readonly method: string; readonly url: string }) => boolean

/** A proxy in front of a server on this machine that breaks the requests it was told to break. */
export async function faultServer(upstreamPort: number) {
  const rules: { readonly match: Match; readonly fault: Fault; times: number }[] = []
  const seen: { readonly method: string; readonly url: string }[] = []
  const agent = new http.Agent({ keepAlive: true })

  const takeRequest = (request: IncomingMessage, response: ServerResponse, asksFirst: boolean) => {
    const { method = '', url = '' } = request
    seen.push({ method, url })
    const rule = rules.find(({ match, times }) => times > 0 && match({ method, url }))
    if (rule) rule.times -= 1
    if (asksFirst && !refusesAtOnce(rule?.fault)) response.writeContinue()
    const broken = () => request.socket.resetAndDestroy()
    apply(rule?.fault, request, response, broken, () =>
      handOn(upstreamPort, agent, rule?.fault, request, response, broken)
    )
  }
  const server = http.createServer((request, response) => takeRequest(request, response, false))
  server.on('checkContinue', (request, response) => takeRequest(request, response, true))
  server.requestTimeout = 0
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo

  return {
    port,
    seen,
    /** The next `times` requests that match get the fault. */
    inject(fault: Fault, match: Match = () => true, times = 1): void {
      rules.push({ match, fault, times })
    },
    /** From now on nothing is broken. */
    calm(): void {
      rules.length = 0
    },
    async [Symbol.asyncDispose]() {
      agent.destroy()
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    }
  }
}

/**
 * The next request that matches `isStep` is refused, or made without an answer; then nobody may look at what became of it
 * for once.
 */
export function breakStep(
  faults: { inject(fault: Fault, match: Match): void },
  how: 'refused' | 'unheard',
  isStep: Match,
  isLook: Match
): void {
  const busy: Fault = { kind: 'answer', status: 503 }
  let made = false
  faults.inject(how === 'refused' ? busy : { kind: 'lose answer' }, (request) => {
    made ||= isStep(request)
    return isStep(request)
  })
  if (how === 'unheard') faults.inject(busy, (request) => made && isLook(request))
}

const refusesAtOnce = (fault: Fault | undefined): boolean =>
  fault?.kind === 'endless answer' || (fault?.kind === 'answer' && fault.afterBytes === undefined)

function apply(
  fault: Fault | undefined,
  request: IncomingMessage,
  response: ServerResponse,
  broken: () => void,
  forward: () => void
): void {
  request.on('error', () => {})
  switch (fault?.kind) {
    case 'stall':
      return
    case 'hang':
      request.resume()
      return
    case 'answer': {
      const answer = () => response.writeHead(fault.status, fault.headers).end(fault.body)
      if (fault.afterBytes === undefined) answer()
      else afterBytes(request, fault.afterBytes, () => answer().on('finish', broken))
      return
    }
    case 'endless answer': {
      response.writeHead(fault.status)
      const more = () => {
        while (!response.destroyed && response.write(Buffer.alloc(65536, 'x')));
      }
      response.on('drain', more)
      more()
      return
    }
    case 'reset':
      afterBytes(request, fault.afterBytes, broken)
      return
    default:
      forward()
  }
}

/** Reads no further then. */
function afterBytes(request: IncomingMessage, limit: number, then: () => void): void {
  let bytes = 0
  const count = (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes < limit) return
    request.off('data', count).pause()
    then()
  }
  request.on('data', count)
}

function handOn(
  port: number,
  agent: http.Agent,
  fault: Fault | undefined,
  request: IncomingMessage,
  response: ServerResponse,
  broken: () => void
): void {
  const { method, url } = request
  const { expect: _asked, ...headers } = request.headers
  if (fault?.kind === 'shorten') headers['content-length'] = String(fault.toBytes)
  const upstream = http.request({ host: '127.0.0.1', port, agent, method, path: url, headers }, (answer) => {
    if (fault?.kind === 'lose answer') {
      answer.resume().on('end', broken)
      return
    }
    const changed = fault?.kind === 'change headers' ? fault.headers : {}
    for (const [name, value] of Object.entries({ ...answer.headers, ...changed })) {
      if (value !== undefined) response.setHeader(name, value)
    }
    const hand = () => {
      response.writeHead(answer.statusCode ?? 502)
      answer.pipe(response)
    }
    if (fault?.kind === 'late answer') setTimeout(hand, fault.afterMs)
    else hand()
  })
  upstream.on('error', broken)
  request.on('aborted', () => upstream.destroy())

  let at = 0
  request.on('data', (whole: Buffer) => {
    const chunk = fault?.kind === 'shorten' ? whole.subarray(0, Math.max(0, fault.toBytes - at)) : whole
    const place = fault?.kind === 'corrupt' ? fault.atByte - at : -1
    if (place >= 0 && place < chunk.length) chunk[place] = (chunk[place] ?? 0) ^ 1
    at += chunk.length
    if (upstream.write(chunk)) return
    request.pause()
    upstream.once('drain', () => request.resume())
  })
  request.on('end', () => upstream.end())
}
