import { createConnection, type NetConnectOpts, type Socket } from 'node:net'
import { peerOf } from './address.ts'
import { type ConnectionSettings, Guard } from './connection.ts'
import { networkFailure } from './failures.ts'

/**
 * A TCP connection to the host of `url`, by the same rules as those of http: only where the address policy allows. The caller
 * ends it.
 * @throws DestinationError; the reason of `signal`
 */
export function connectSocket(settings: ConnectionSettings, url: URL, signal: AbortSignal): Promise<Socket> {
  const { scheme, hostname, port } = peerOf(url, true)
  const guard = new Guard(settings, { scheme, credentials: true })
  const host = hostname.replace(/^\[|\]$/g, '')

  return new Promise<Socket>((resolve, reject) => {
    signal.throwIfAborted()
    const socket = guard.connect(
      { host, port },
      (guarded) => createConnection({ ...guarded, ...OPTIONS } as NetConnectOpts),
      (error) => reject(error)
    ) as Socket | undefined
    if (socket === undefined) return
    const stop = () => socket.destroy(signal.reason)
    signal.addEventListener('abort', stop, { once: true })
    const settle = () => signal.removeEventListener('abort', stop)
    socket.once('error', (error) => {
      settle()
      reject(signal.aborted ? signal.reason : networkFailure(url.host, error))
    })
    socket.once('connect', () => {
      if (socket.destroyed) return // the guard did not like where it led
      settle()
      resolve(socket)
    })
  })
}

// Node gives each of a host's addresses 250 ms, too little for another continent.
const OPTIONS = { noDelay: true, autoSelectFamilyAttemptTimeout: 2_500 }
