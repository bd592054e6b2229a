import { createHash } from 'node:crypto'
import { peerOf } from '../address.ts'
import { credentialsInvalid } from '../credentials.ts'
import type { Situation } from '../situations.ts'
import { type KnownHosts, kindOf } from './known-hosts.ts'

/** Which keys one host may show. */
export type HostTrust = {
  /** Kinds of keys that the host is known to have; empty when only a fingerprint is known. */
  readonly kinds: readonly string[]
  /** What it means when none of the host's keys is right. */
  readonly otherwise: Situation
  judge(key: Buffer): 'right' | 'other' | 'revoked'
}

/**
 * A key that the request names is believed, whatever the operator's list says of the host: the secrets and the image that go
 * there are the user's, and a list may be older than the host. Without one the key has to be in the list. What the list revokes
 * is never believed.
 * @param pinned `SHA256:` and base64 without padding, of the request
 * @throws DestinationInvalid where nobody has said which key the host has
 */
export function trustIn(url: URL, pinned: string | undefined, knownHosts: KnownHosts | undefined): HostTrust {
  const { hostname, port } = peerOf(url, true)
  const {
    trusted = [],
    revoked = [],
    hasAuthority = false
  } = knownHosts?.(hostname.replace(/^\[|\]$/g, ''), port) ?? {}
  const among = (keys: readonly Buffer[], key: Buffer) => keys.some((one) => one.equals(key))
  const isRight = (key: Buffer) => (pinned === undefined ? among(trusted, key) : fingerprint(key) === pinned)
  if (pinned === undefined && trusted.length === 0)
    throw credentialsInvalid('host_key_sha256', whyUnknown(hasAuthority))
  return {
    kinds: pinned === undefined ? trusted.flatMap((key) => kindOf(key) ?? []) : [],
    otherwise: pinned === undefined ? 'hostKeyNotListed' : 'hostKeyDiffers',
    judge: (key) => (among(revoked, key) ? 'revoked' : isRight(key) ? 'right' : 'other')
  }
}

const whyUnknown = (hasAuthority: boolean): string => {
  const known = hasAuthority ? 'only an authority for the keys of this host, which is not used' : 'no key of this host'
  return `host_key_sha256 is missing, and the operator's list (SFTP_KNOWN_HOSTS) has ${known}`
}

/** As OpenSSH prints it. */
const fingerprint = (key: Buffer): string =>
  `SHA256:${createHash('sha256').update(key).digest('base64').replace(/=+$/, '')}`
