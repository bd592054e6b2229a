import { isIP } from 'node:net'
import type { Duplex } from 'node:stream'
import { TLSSocket } from 'node:tls'
import { failure, networkFailure } from './failures.ts'

/** What both ends agreed on. */
export type Handshake = {
  /** Such as `TLSv1.3`. */
  readonly version: string
  readonly certificateExpiresAt: Date
}

type Where = { readonly host: string; readonly port: number; readonly servername?: string }

/**
 * Connects, for https with TLS, and hangs up.
 * @param connect makes the connection, guarded as all others; calls `fail` when it may not be made
 * @returns undefined for http
 * @throws DestinationError; the reason of `signal`
 */
export function shakeHands(
  connect: (where: Where, fail: (error: Error | null) => void) => Duplex | null | undefined,
  url: URL,
  signal: AbortSignal
): Promise<Handshake | undefined> {
  signal.throwIfAborted()
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const secure = url.protocol === 'https:'
  return new Promise((resolve, reject) => {
    const fail = (error: unknown) => error !== null && reject(networkFailure(url.host, error))
    const socket = connect(
      { host, port: Number(url.port) || (secure ? 443 : 80), ...(isIP(host) === 0 && { servername: host }) },
      fail
    )
    const stop = () => {
      reject(signal.reason)
      socket?.destroy()
    }
    signal.addEventListener('abort', stop, { once: true })
    socket?.once('error', fail)
    socket?.once('close', () => {
      signal.removeEventListener('abort', stop)
      fail(failure('brokenOff', url.host))
    })
    socket?.once(secure ? 'secureConnect' : 'connect', () => {
      resolve(socket instanceof TLSSocket ? agreedOn(socket) : undefined)
      socket.destroy()
    })
  })
}

const agreedOn = (socket: TLSSocket): Handshake => ({
  version: socket.getProtocol() ?? '',
  certificateExpiresAt: new Date(socket.getPeerCertificate().valid_to)
})
