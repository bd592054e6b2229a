import type { Hashers } from '../../hashing/hashers.ts'
import type { AddressPolicy } from '../address.ts'
import type { Connections } from '../connection.ts'
import type { Credentials, Destination, Found, Removed, UploadTarget } from '../destination.ts'
import { recordedPartBytes } from '../recorded-parts.ts'
import { Account } from './account.ts'
import { swiftChecks } from './checks.ts'
import { SWIFT_CREDENTIALS } from './credential-schemas.ts'
import { keystoneAccess } from './keystone.ts'
import type { Access } from './login.ts'
import { SwiftObject } from './object.ts'
import { Objects } from './objects.ts'
import { type Place, readPlace } from './place.ts'
import { type Plan, planUpload } from './plan.ts'
import { SegmentedUpload } from './segmented-upload.ts'
import { ensureSegmentsContainer, listSegments, removeSegments } from './segments.ts'
import { readCredentials, type SwiftCredentials } from './settings.ts'
import { standingSegments } from './standing-segments.ts'
import { tempauthAccess } from './tempauth.ts'
import { tempUrlAccess } from './tempurl.ts'
import { WholeUpload } from './whole-upload.ts'

type SwiftUses = {
  readonly policy: AddressPolicy
  readonly connections: Connections
  readonly hashers: Hashers
}

/** Writes objects to OpenStack Swift and what speaks its API: small ones with one PUT, others as static large objects. */
export function createSwiftDestination(uses: SwiftUses): Destination {
  const reach = reachFrom(uses)
  return {
    schemes: ['swift'],
    credentialSchemas: SWIFT_CREDENTIALS,
    anonymous: false,
    anyOrder: (credentials) => credentials?.kind !== 'temp_url',
    objectOptions: ['delete_after_seconds', 'metadata'],
    namesObject: (credentials) => {
      const read = readCredentials(credentials)
      return isSignedBefore(read) && read.prefix === undefined
    },
    writesOnly: (credentials) => isSignedBefore(readCredentials(credentials)),
    check: (url, credentials) => checkAddresses(uses.policy, url, credentials),
    checks(target) {
      const { object, signedBefore } = reach(target)
      return swiftChecks(object, target, (signal) => planFor(object, target, signal), signedBefore)
    },
    async find(target, signal): Promise<Found> {
      const found = await reach(target).object.find(signal)
      if (found.status !== 'present') return found
      const { status, length, exportId, contentId } = found
      return { status, length, exportId, contentId }
    },
    read: (target, range, signal) => reach(target).object.read(range, signal),
    async remove(target, signal) {
      await reach(target).object.remove(signal)
    },
    async open(target, signal) {
      const { object } = reach(target)
      const { how, partBytes } = await planFor(object, target, signal)
      if (how === 'one request') return new WholeUpload(object, target, partBytes)
      await ensureSegmentsContainer(object.objects, object.place, signal)
      return new SegmentedUpload(object, target, { partBytes, kept: [] }, [])
    },
    async resume(target, state, sent, signal) {
      const { object } = reach(target)
      const partBytes = recordedPartBytes(state)
      if (partBytes === undefined || object.alone) return undefined
      const { segments, kept } = await standingSegments(object, target, sent, signal)
      // Without segments there is nothing that could be gone: then it is an upload that has not sent anything.
      if (kept.length === 0 && sent.length > 0) return undefined
      return { upload: new SegmentedUpload(object, target, { partBytes, kept }, segments), kept }
    },
    async discard(target, _state, signal): Promise<Removed> {
      const { object } = reach(target)
      const removed = await object.removeOurs(signal)
      if (object.alone) return removed
      const { objects, place } = object
      const left = await listSegments(objects, place, target.marks.exportId, signal)
      const paths = left.map(({ path }) => path)
      const count = await removeSegments(objects, paths, signal)
      return [...removed, ...(count === 0 ? [] : [`${count} ${count === 1 ? 'segment' : 'segments'}`])]
    }
  }
}

async function planFor(object: SwiftObject, target: UploadTarget, signal: AbortSignal): Promise<Plan> {
  const { account } = object.objects
  const { length, exact, virtual, marks } = target
  const planned = { place: object.place, exportId: marks.exportId, length, exact, virtual, segments: !object.alone }
  return planUpload(planned, await account.limits(signal), await account.host(signal))
}

/** The object of a target. One login serves everything that is done with the same credentials to the same account. */
function reachFrom({ connections, hashers }: SwiftUses) {
  const accounts = new WeakMap<object, Map<string, Account>>()
  const accountOf = (target: UploadTarget, credentials: SwiftCredentials, place: Place): Account => {
    const owner = target.credentials ?? target
    const known = accounts.get(owner) ?? new Map<string, Account>()
    accounts.set(owner, known)
    const key = `${target.url.host}/${place.account}`
    const account = known.get(key) ?? accountFor(credentials, place, target.url, connections)
    known.set(key, account)
    return account
  }
  return (target: UploadTarget) => {
    const place = readPlace(target.url)
    const credentials = readCredentials(target.credentials?.unwrap())
    const objects = new Objects(accountOf(target, credentials, place), hashers)
    const object = new SwiftObject(objects, place, target.marks, credentials.kind === 'temp_url')
    return { object, signedBefore: isSignedBefore(credentials) }
  }
}

/** Connections of its own are not closed: their sockets end by themselves when they have been idle for seconds. */
function accountFor(credentials: SwiftCredentials, place: Place, url: URL, connections: Connections): Account {
  return new Account(accessFor(credentials, place, url, connections), connections.withTls(credentials.tls))
}

function accessFor(credentials: SwiftCredentials, place: Place, url: URL, connections: Connections): Access {
  switch (credentials.kind) {
    case 'tempauth':
      return tempauthAccess(credentials, place.account, connections.withTls(credentials.tls))
    case 'temp_url':
      return tempUrlAccess(credentials, place.account, url.host)
    default:
      return keystoneAccess(credentials, place.account, connections)
  }
}

type SignedBefore = Extract<SwiftCredentials, { readonly by: 'signature' }>
const isSignedBefore = (credentials: SwiftCredentials): credentials is SignedBefore =>
  credentials.kind === 'temp_url' && credentials.by === 'signature'

/**
 * Judges every host that the request names. Those that a login names later are judged when they are connected to.
 * @throws DestinationInvalid
 */
function checkAddresses(policy: AddressPolicy, url: URL, given: Credentials | undefined): void {
  readPlace(url)
  const credentials = readCredentials(given)
  const services = [
    ...('authUrl' in credentials ? ([['auth_url', credentials.authUrl]] as const) : []),
    ...(credentials.endpoint ? ([['endpoint', credentials.endpoint]] as const) : [])
  ]
  for (const [field, service] of services) {
    policy.checkHost(service, { credentials: true, pointer: `/export_to_credentials/${field}` })
  }
  // The host of export_to names the cloud. Only without another address is it connected to.
  if (services.some(([, { hostname }]) => hostname === url.hostname.toLowerCase())) return
  const scheme = services[0]?.[1].protocol ?? 'https:'
  policy.checkHost(new URL(`${scheme}//${url.host}`), { credentials: true, pointer: '/export_to' })
}
