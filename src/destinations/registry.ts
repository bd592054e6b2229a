import type { LookupFunction } from 'node:net'
import type { TSchema } from 'typebox'
import { DestinationInvalid } from '../domain/destination-errors.ts'
import type { Hashers } from '../hashing/hashers.ts'
import { type AddressSettings, createAddressPolicy } from './address.ts'
import { createConnections, DEFAULT_LIMITS, type Limits } from './connection.ts'
import type { Destination } from './destination.ts'
import { createFileDestination } from './file/file.ts'
import { createHttpDestination } from './http/http.ts'
import { createS3Destination } from './s3/s3.ts'
import type { KnownHosts } from './sftp/known-hosts.ts'
import { createSftpDestination } from './sftp/sftp.ts'
import { createSwiftDestination } from './swift/swift.ts'
import type { StagingSettings } from './tempurl/staging.ts'
import { createTempUrlDestination } from './tempurl/tempurl.ts'

export type DestinationSettings = AddressSettings & {
  readonly hashers: Hashers
  /** Folder of the operator's that file:// leads to; absent: there is no file://. */
  readonly fileRoot?: string
  /** Keeps files for download from here; absent: there is no tempurl:. */
  readonly staging?: StagingSettings
  /** PEM of authorities to trust besides the well-known ones. */
  readonly extraCa?: string
  /** Keys of SSH servers that the operator vouches for. */
  readonly knownHosts?: KnownHosts
  /** DEFAULT_LIMITS when absent. */
  readonly limits?: Limits
  /** Replaces the system's DNS look-up. */
  readonly lookup?: LookupFunction
}

/** The kinds of places that exports can go to. */
export interface Destinations {
  readonly all: readonly Destination[]
  /** In the order of the registry. */
  readonly schemes: readonly string[]
  /** One schema a kind of credentials, of all destinations. */
  readonly credentialSchemas: readonly TSchema[]
  /** @throws DestinationInvalid DEST_SCHEME_DISABLED */
  forScheme(scheme: string): Destination
  /** @throws DestinationInvalid DEST_SCHEME_DISABLED */
  forTarget(target: URL): Destination
  /** Ends the connections of every destination. */
  close(): void
}

/** @throws Error naming the setting that cannot be read */
export function createDestinations(settings: DestinationSettings): Destinations {
  const policy = createAddressPolicy(settings)
  const limits = settings.limits ?? DEFAULT_LIMITS
  const connections = createConnections({ ...settings, policy, limits })
  const closing = new AbortController()
  const all = [
    createHttpDestination({ policy, connections }), //
    createS3Destination({ policy, connections, hashers: settings.hashers }),
    createSwiftDestination({ policy, connections, hashers: settings.hashers }),
    createSftpDestination({ ...settings, policy, limits, closing: closing.signal }),
    ...(settings.fileRoot === undefined ? [] : [createFileDestination({ root: settings.fileRoot })]),
    ...(settings.staging === undefined ? [] : [createTempUrlDestination(settings.staging)])
  ]
  const byScheme = new Map(all.flatMap((destination) => destination.schemes.map((scheme) => [scheme, destination])))
  const schemes = [...byScheme.keys()]

  const forScheme = (scheme: string): Destination => {
    const destination = byScheme.get(scheme)
    if (destination !== undefined) return destination
    const why = `export_to: the scheme ${scheme} is not on offer here; the schemes are ${schemes.join(', ')}.`
    throw new DestinationInvalid('DEST_SCHEME_DISABLED', '/export_to', why)
  }
  return {
    all,
    schemes,
    credentialSchemas: all.flatMap((destination) => destination.credentialSchemas),
    forScheme,
    forTarget: (target) => forScheme(target.protocol.slice(0, -1)),
    close() {
      connections.close()
      closing.abort(new Error('The destinations are closed.'))
    }
  }
}
