import { createHash } from 'node:crypto'
import { withSuffix } from './requests/key-template.ts'
import type { Where } from './upload-target.ts'

/** Credentials that choose a service by another address than that of the object. */
const ADDRESSES = ['endpoint', 'auth_url'] as const

/**
 * The same for all tasks that would write one object, however they spell its URL and whosever they are; 64 hex digits. Two
 * places are never taken for one: the file store has a folder for each project, and a bucket is one of its endpoint.
 */
export function objectName({ objectUrl, credentials, marks }: Where, suffix: number): string {
  const { protocol, host, pathname } = withSuffix(objectUrl, suffix)
  const given = credentials?.unwrap()
  const addresses = ADDRESSES.map((field) => String(given?.[field] ?? '').replace(/\/+$/, ''))
  const owner = protocol === 'file:' ? marks.owner : ''
  const facts = [protocol, host.toLowerCase(), pathname.split('/').map(decoded), owner, ...addresses]
  return createHash('sha256').update(JSON.stringify(facts)).digest('hex')
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    return segment
  }
}
