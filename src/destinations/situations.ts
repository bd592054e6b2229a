import type { DestinationFailure } from '../domain/destination-errors.ts'
import type { Actor } from '../domain/task.ts'

type Row = {
  readonly code: DestinationFailure
  readonly permanent: boolean
  readonly actor: Actor
  /** What follows the name of the host: what happened, whose turn it is, what to do. */
  readonly says: string
}

const row = (code: DestinationFailure, lasts: 'permanent' | 'passing', actor: Actor, says: string): Row => ({
  code,
  permanent: lasts === 'permanent',
  actor,
  says
})

/**
 * Everything that can go wrong at a destination. Refused, closed and filtered ports read the same on purpose: the service
 * shall not be a port scanner.
 */
export const SITUATIONS = {
  addressForbidden: row(
    'DEST_ADDRESS_FORBIDDEN',
    'permanent',
    'user',
    'has an address that this service may not reach: name a public endpoint, or ask the operator to allow it.'
  ),
  nameUnknown: row('DEST_DNS_FAILED', 'passing', 'user', 'is not known to the DNS: check the name in export_to.'),
  dnsSilent: row(
    'DEST_DNS_FAILED',
    'passing',
    'operator',
    'could not be looked up because the DNS did not answer: try again later, or tell the operator.'
  ),
  unreachable: row(
    'DEST_UNREACHABLE',
    'passing',
    'destination',
    'could not be reached: check that it is up and accepts connections from this service.'
  ),
  brokenOff: row(
    'DEST_UNREACHABLE',
    'passing',
    'destination',
    'broke the connection off before it had answered: check its log.'
  ),
  stalled: row(
    'DEST_UNREACHABLE',
    'passing',
    'destination',
    'stopped taking bytes: check that it is not overloaded or out of space.'
  ),
  noAnswer: row(
    'DEST_UNREACHABLE',
    'passing',
    'destination',
    'took everything and did not answer in time: check its log.'
  ),
  stalledSending: row(
    'DEST_UNREACHABLE',
    'passing',
    'destination',
    'stopped sending bytes while it was read: check that it is not overloaded.'
  ),
  requestTimedOut: row(
    'DEST_UNREACHABLE',
    'passing',
    'destination',
    'gave up waiting for bytes: check the network between it and this service.'
  ),
  notHttp: row(
    'DEST_REJECTED',
    'passing',
    'destination',
    'sent an answer that is not valid HTTP: check what listens there.'
  ),
  endlessList: row(
    'DEST_REJECTED',
    'passing',
    'destination',
    'sent a list that does not end: check what answers there.'
  ),
  certificateExpired: row(
    'DEST_TLS_UNTRUSTED',
    'permanent',
    'destination',
    'has a certificate that is expired or not valid yet: its owner has to renew it.'
  ),
  certificateOfOther: row(
    'DEST_TLS_UNTRUSTED',
    'permanent',
    'destination',
    'has a certificate for another name: use the name in the certificate, or have it reissued.'
  ),
  certificateUntrusted: row(
    'DEST_TLS_UNTRUSTED',
    'permanent',
    'destination',
    'has a certificate that this service does not trust: use a public authority, or ask the operator to add yours.'
  ),
  tlsFailed: row(
    'DEST_TLS_UNTRUSTED',
    'permanent',
    'destination',
    'does not speak TLS 1.2 or later at this port: check the scheme and the port of the URL.'
  ),
  clientCertificateRefused: row(
    'DEST_AUTH_FAILED',
    'permanent',
    'user',
    'does not accept the client certificate: send a valid one as credentials of the kind mtls.'
  ),
  clientCertificateMissing: row(
    'DEST_AUTH_FAILED',
    'permanent',
    'user',
    'wants a client certificate and got none: send one as credentials of the kind mtls.'
  ),
  handshakeRefused: row(
    'DEST_TLS_UNTRUSTED',
    'permanent',
    'user',
    'ended the TLS handshake: it has to speak TLS 1.2 or later; if it wants a client certificate, send one as credentials of the kind mtls.'
  ),
  redirected: row(
    'DEST_REJECTED',
    'permanent',
    'user',
    'answered with a redirect, and redirects are not followed: give the final URL.'
  ),
  badRequest: row(
    'DEST_REJECTED',
    'permanent',
    'user',
    'refused the request: check export_to and the settings in export_to_credentials.'
  ),
  unauthorized: row('DEST_AUTH_FAILED', 'permanent', 'user', 'does not accept the credentials: send valid ones.'),
  forbidden: row(
    'DEST_FORBIDDEN',
    'permanent',
    'user',
    'does not let these credentials write there: grant the right to write, or use others.'
  ),
  writeOnly: row(
    'DEST_FORBIDDEN',
    'permanent',
    'user',
    'can only be written with these credentials, so nothing there can be read back: ask for less verification.'
  ),
  notFound: row(
    'DEST_CONTAINER_NOT_FOUND',
    'permanent',
    'user',
    'has no such container or folder: create it, or correct export_to.'
  ),
  methodNotAllowed: row(
    'DEST_REJECTED',
    'permanent',
    'user',
    'does not offer what an export needs: choose another destination.'
  ),
  objectExists: row(
    'DEST_OBJECT_EXISTS',
    'permanent',
    'user',
    'holds an object of this name already: choose another path or object.key_template, or set object.if_exists to replace, suffix or reuse.'
  ),
  objectDiffers: row(
    'DEST_OBJECT_EXISTS',
    'permanent',
    'user',
    'holds an object of this name that says it is this export, and its bytes are others: remove it, or set object.if_exists to replace or suffix.'
  ),
  sidecarExists: row(
    'DEST_OBJECT_EXISTS',
    'permanent',
    'user',
    'holds an object where a sidecar is to be written (.sha256 or .manifest.json): choose another object.key_template, leave sidecars out, or set object.if_exists to replace or suffix.'
  ),
  nameInUse: row(
    'DEST_OBJECT_EXISTS',
    'permanent',
    'user',
    'is being sent an object of this name by another task: wait for that, choose another object.key_template, or set object.if_exists to suffix.'
  ),
  nameTakenMeanwhile: row(
    'DEST_OBJECT_EXISTS',
    'passing',
    'user',
    'got an object of this name while the export was under way: it is tried again under another name.'
  ),
  notRemoved: row(
    'DEST_FORBIDDEN',
    'permanent',
    'user',
    'does not let this service remove what it has written: remove it there.'
  ),
  removalUnclear: row(
    'DEST_REJECTED',
    'passing',
    'destination',
    'did not say whether it has removed everything: look there.'
  ),
  othersKept: row(
    'DEST_REJECTED',
    'permanent',
    'user',
    'still has what the replaced object named as its segments, as others may use it: remove it there.'
  ),
  conflict: row(
    'DEST_REJECTED',
    'permanent',
    'user',
    'reports a conflict: check that the folder in export_to exists and is not locked.'
  ),
  locked: row(
    'DEST_REJECTED',
    'passing',
    'destination',
    'has a lock on the object: the export is tried again later; remove the lock if it stays.'
  ),
  tooLarge: row(
    'DEST_LIMIT_EXCEEDED',
    'permanent',
    'user',
    'does not take an object of this size: raise its limit, or choose another destination.'
  ),
  partsTooLarge: row(
    'DEST_LIMIT_EXCEEDED',
    'permanent',
    'user',
    'takes so few parts that those of a compressed file would be above 512 MiB: choose an export_format that is not compressed, or allow more and smaller parts.'
  ),
  quotaExceeded: row(
    'DEST_QUOTA_EXCEEDED',
    'permanent',
    'user',
    'has no room left for this export: free space or raise the quota.'
  ),
  throttled: row('DEST_THROTTLED', 'passing', 'destination', 'asks to slow down: the export is tried again later.'),
  serverError: row(
    'DEST_REJECTED',
    'passing',
    'destination',
    'failed with an error of its own: check its log if it stays.'
  ),
  clockSkewed: row(
    'DEST_AUTH_FAILED',
    'passing',
    'operator',
    'has another time than this service: one of the two clocks has to be set.'
  ),
  wrongRegion: row(
    'DEST_REJECTED',
    'permanent',
    'user',
    'keeps this bucket in another region: set region and endpoint in export_to_credentials.'
  ),
  credentialsExpired: row(
    'DEST_CREDENTIALS_EXPIRED',
    'permanent',
    'user',
    'does not accept the credentials any more, they have expired: send fresh ones that live longer than the export.'
  ),
  roleRefused: row(
    'DEST_AUTH_FAILED',
    'permanent',
    'user',
    'does not let these credentials assume the role: check role_arn, external_id, sts_endpoint and the trust of the role.'
  ),
  onlyWrites: row(
    'DEST_FORBIDDEN',
    'permanent',
    'user',
    'was given pre-signed URLs, which can only write: use other credentials to read or remove objects.'
  ),
  signedUploadGone: row(
    'DEST_COMMIT_FAILED',
    'permanent',
    'user',
    'has ended the upload that the pre-signed URLs belong to: begin another and sign new URLs.'
  ),
  tooFewSignedParts: row(
    'DEST_LIMIT_EXCEEDED',
    'permanent',
    'user',
    'needs more pre-signed URLs for a file of this size: sign more parts, or raise part_bytes (at most 5 GiB).'
  ),
  optionRefused: row(
    'DEST_REJECTED',
    'permanent',
    'user',
    'does not offer what was asked for (sse, storage_class, tags or metadata): leave it out, or choose another destination.'
  ),
  notEncrypted: row(
    'DEST_REJECTED',
    'permanent',
    'user',
    'does not confirm that it encrypts the object as sse asks: leave sse out, or choose another destination.'
  ),
  kmsKeyUnusable: row(
    'DEST_FORBIDDEN',
    'permanent',
    'user',
    'cannot use the key of its key service: check sse.kms_key_id and the rights to that key.'
  ),
  tagsInvalid: row(
    'DEST_REJECTED',
    'permanent',
    'user',
    'takes at most 10 tags, names of 1 to 128 and values of up to 256 letters, digits, spaces and + - = . _ : / @.'
  ),
  metadataInvalid: row(
    'DEST_REJECTED',
    'permanent',
    'user',
    'takes at most 2 KB of metadata, printable ASCII, names of letters, digits and hyphens: shorten or rename it.'
  ),
  earlySuccess: row(
    'DEST_INTEGRITY_MISMATCH',
    'passing',
    'destination',
    'reported success before it had all bytes: check what answers there.'
  ),
  bytesDiffer: row(
    'DEST_INTEGRITY_MISMATCH',
    'passing',
    'destination',
    'acknowledged other bytes than were sent: check its storage and the network.'
  ),
  noReceipt: row(
    'DEST_INTEGRITY_MISMATCH',
    'passing',
    'destination',
    'did not say what it received (no ETag): check that it is an S3 server.'
  ),
  lengthDiffers: row(
    'DEST_INTEGRITY_MISMATCH',
    'passing',
    'destination',
    'holds an object of another length than was sent: check its storage.'
  ),
  objectGone: row(
    'DEST_INTEGRITY_MISMATCH',
    'passing',
    'destination',
    'does not hold the object that was to be read: check that nothing there removes or moves it.'
  ),
  uploadGone: row(
    'DEST_COMMIT_FAILED',
    'passing',
    'destination',
    'has forgotten the upload: check that nothing there removes unfinished uploads.'
  ),
  outcomeUnknown: row(
    'DEST_COMMIT_FAILED',
    'passing',
    'destination',
    'did not say whether the object was completed: it is tried again.'
  ),
  misused: row(
    'DEST_REJECTED',
    'permanent',
    'operator',
    'refused the way the object was put together: tell the operator, this is a fault of the service.'
  ),
  notAFolder: row(
    'DEST_FORBIDDEN',
    'permanent',
    'user',
    'has a link or a file where a folder is needed, and links are not followed: choose another path.'
  ),
  storeFull: row(
    'DEST_QUOTA_EXCEEDED',
    'passing',
    'operator',
    'has no room left for this export: the operator has to free space.'
  ),
  storeDenied: row(
    'DEST_FORBIDDEN',
    'permanent',
    'operator',
    'does not let this service write there: the operator has to give it the right.'
  ),
  storeGone: row(
    'DEST_UNREACHABLE',
    'passing',
    'operator',
    'is not there: the operator has to see to the folder that FILE_ROOT names.'
  ),
  onlyInOrder: row(
    'DEST_REJECTED',
    'permanent',
    'user',
    'refuses a file that is written in several pieces, or takes none now: its owner has to allow it (rclone: --vfs-cache-mode writes) and to look for room there; or choose another destination.'
  ),
  notRenamed: row(
    'DEST_FORBIDDEN',
    'permanent',
    'user',
    'does not let these credentials rename a file, as an export is when it is whole: grant that right, or use others.'
  ),
  notReplaced: row(
    'DEST_OBJECT_EXISTS',
    'permanent',
    'user',
    'holds an object of this name and cannot put another in its place (it lacks posix-rename@openssh.com): remove the object first, choose another object.key_template, or set object.if_exists to suffix.'
  ),
  hostKeyDiffers: row(
    'DEST_TLS_UNTRUSTED',
    'permanent',
    'user',
    'has another host key than the credentials name: ask its owner for the right one, and send it as host_key_sha256.'
  ),
  hostKeyNotListed: row(
    'DEST_TLS_UNTRUSTED',
    'permanent',
    'operator',
    'has another host key than the list of this service (SFTP_KNOWN_HOSTS): the operator has to see whether it was changed and correct the list, or send the right one as host_key_sha256.'
  ),
  hostKeyRevoked: row(
    'DEST_TLS_UNTRUSTED',
    'permanent',
    'destination',
    'has a host key that the operator of this service has revoked: its owner has to give it a new one.'
  ),
  sshFailed: row(
    'DEST_REJECTED',
    'permanent',
    'destination',
    'does not speak SSH with algorithms that are safe today: check what listens there, and update it.'
  ),
  keyUnusable: row(
    'DEST_AUTH_FAILED',
    'permanent',
    'user',
    'was not tried, as the private key cannot be read: send it in OpenSSH or PEM form, with its passphrase if it has one.'
  ),
  tokenExpired: row(
    'DEST_AUTH_FAILED',
    'passing',
    'destination',
    'took the token for expired: what was under way is sent again with a new one.'
  ),
  noLogin: row(
    'DEST_AUTH_FAILED',
    'permanent',
    'user',
    'is no login service at this address: correct auth_url in export_to_credentials.'
  ),
  noObjectStore: row(
    'DEST_REJECTED',
    'permanent',
    'user',
    'names no object store for these credentials: check region, interface and endpoint in export_to_credentials.'
  ),
  otherAccount: row(
    'DEST_FORBIDDEN',
    'permanent',
    'user',
    'gives these credentials another account than export_to names: correct the account in export_to, or send others.'
  ),
  nameTooLong: row(
    'DEST_LIMIT_EXCEEDED',
    'permanent',
    'user',
    'does not take names this long: shorten the path in export_to, or object.key_template.'
  ),
  needsSegments: row(
    'DEST_LIMIT_EXCEEDED',
    'permanent',
    'user',
    'takes this export in segments only, which a temporary URL cannot write: send credentials of the account, or choose a smaller, uncompressed format.'
  ),
  signedForUpload: row(
    'DEST_FORBIDDEN',
    'permanent',
    'user',
    'was to be asked for more than the signature in export_to_credentials allows: send a key, or credentials of the account.'
  )
} as const satisfies Record<string, Row>

/** What happened, in one word. */
export type Situation = keyof typeof SITUATIONS
