import type { Secret } from '../../domain/secret.ts'
import type { Connections } from '../connection.ts'
import type { Credentials, UploadTarget } from '../destination.ts'
import { readTlsOptions } from '../tls.ts'

/**
 * The connections for a target: its own where its credentials name authorities of their own. These live as long as the
 * credentials; a connection that is not used closes by itself within seconds.
 */
export function createConnectionsFor(connections: Connections): (target: UploadTarget) => Connections {
  const own = new WeakMap<Secret<Credentials>, Connections>()
  return ({ credentials }) => {
    const options = readTlsOptions(credentials?.unwrap())
    if (credentials === undefined || options === undefined) return connections
    const made = own.get(credentials) ?? connections.withTls(options)
    own.set(credentials, made)
    return made
  }
}
