import type { AddressPolicy } from '../address.ts'
import type { Connections } from '../connection.ts'
import { credentialsInvalid } from '../credentials.ts'
import type { Destination, UploadTarget } from '../destination.ts'
import { failure } from '../failures.ts'
import { checksOf, removeProbe } from './checks.ts'
import { HTTP_CREDENTIALS, readAccess } from './credentials.ts'
import { HttpObject } from './object.ts'
import { clear, HttpUpload } from './upload.ts'

/**
 * Writes the file with one PUT (RFC 9110), as WebDAV servers, artefact stores and many gateways take it, or with one POST. The
 * server decides when the object can be seen; most show it at once, and some keep what came of a broken request. So what was
 * not committed is removed with a DELETE, unless it is what stood there before. Nothing can be looked at or removed under a
 * pre-signed URL, which is good for the one PUT.
 */
export function createHttpDestination({
  policy,
  connections
}: {
  readonly policy: AddressPolicy
  readonly connections: Connections
}): Destination {
  const objectOf = (target: UploadTarget) => new HttpObject(connections, target)
  return {
    schemes: ['http', 'https'],
    credentialSchemas: HTTP_CREDENTIALS,
    anonymous: true,
    anyOrder: () => false,
    objectOptions: [],
    namesObject: (credentials) => credentials?.kind === 'presigned',
    // A signature is good for the one PUT; a POST may make another object.
    writesOnly: (credentials) => credentials?.kind === 'presigned' || credentials?.method === 'POST',
    check(url, credentials) {
      const { secret, tls } = readAccess(credentials)
      if (tls !== undefined && url.protocol === 'http:') {
        const field = credentials?.kind === 'mtls' ? 'kind' : 'tls'
        throw credentialsInvalid(field, `${field === 'kind' ? 'mtls' : 'tls'} needs an https URL`)
      }
      policy.checkHost(url, { credentials: secret, pointer: '/export_to' })
    },
    checks: (target) => checksOf(connections, target),
    async find(target, signal) {
      using object = objectOf(target)
      const { version: _, ...found } = await object.look(signal)
      return found
    },
    async *read(target, range, signal) {
      using object = objectOf(target)
      yield* object.read(range, signal)
    },
    async remove(target, signal) {
      using object = objectOf(target)
      if (!object.removable) throw failure('notRemoved', object.host)
      await object.remove(signal)
    },
    async open(target, signal) {
      const object = objectOf(target)
      try {
        const before = await object.look(signal)
        // Few servers know If-None-Match with PUT.
        if (before.status === 'present' && !target.object.replace) throw failure('objectExists', object.host)
        return new HttpUpload(object, target, before)
      } catch (error) {
        object[Symbol.dispose]()
        throw error
      }
    },
    async discard(target, state, signal) {
      await removeProbe(connections, target, signal)
      // Without a record of what stood there before, nothing tells whose it is.
      if (state === null) return []
      using object = objectOf(target)
      return await clear(object, target, state, signal)
    }
  }
}
