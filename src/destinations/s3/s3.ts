import type { AddressPolicy } from '../address.ts'
import type { Credentials, Destination, UploadTarget } from '../destination.ts'
import { S3_CREDENTIALS } from './credential-schemas.ts'
import { createPresignedAccess } from './presigned.ts'
import { isPresigned } from './presigned-settings.ts'
import type { PartUses } from './send-part.ts'
import { createStoreAccess } from './store.ts'

export type S3Uses = PartUses & { readonly policy: AddressPolicy }

/** One way into a store: with keys, or through URLs that somebody with keys has signed. */
export type S3Access = Omit<Destination, 'schemes' | 'credentialSchemas' | 'objectOptions' | 'anonymous'>

/** Writes objects to S3 and what speaks its protocol. */
export function createS3Destination(uses: S3Uses): Destination {
  const withKeys = createStoreAccess(uses)
  const presigned = createPresignedAccess(uses)
  const by = (credentials: Credentials | undefined) => (isPresigned(credentials) ? presigned : withKeys)
  const of = (target: UploadTarget) => by(target.credentials?.unwrap())
  return {
    schemes: ['s3'],
    credentialSchemas: S3_CREDENTIALS,
    anonymous: false,
    objectOptions: ['storage_class', 'tags', 'metadata'],
    anyOrder: (credentials) => by(credentials).anyOrder(credentials),
    namesObject: (credentials) => by(credentials).namesObject(credentials),
    writesOnly: isPresigned,
    check: (url, credentials) => by(credentials).check(url, credentials),
    checks: (target) => of(target).checks(target),
    find: (target, signal) => of(target).find(target, signal),
    read: (target, range, signal) => of(target).read(target, range, signal),
    remove: (target, signal) => of(target).remove(target, signal),
    intend: async (target, signal) => of(target).intend?.(target, signal),
    open: (target, signal) => of(target).open(target, signal),
    resume: async (target, state, sent, signal) => of(target).resume?.(target, state, sent, signal),
    discard: (target, state, signal) => of(target).discard(target, state, signal)
  }
}
