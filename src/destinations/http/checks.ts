import { randomBytes } from 'node:crypto'
import type { Connections } from '../connection.ts'
import type { DestinationCheck, UploadTarget } from '../destination.ts'
import { answerFailure } from '../failures.ts'
import { HttpObject } from './object.ts'

/**
 * What can be asked beforehand over HTTP. Whether the login is good and the folder there is seen by writing only: servers that
 * take uploads need not let anybody look.
 */
export function checksOf(connections: Connections, target: UploadTarget): readonly DestinationCheck[] {
  const tls: DestinationCheck = {
    id: 'dest.tls',
    async run(signal) {
      using object = new HttpObject(connections, target)
      const agreed = await object.handshake(signal)
      return agreed && { version: agreed.version, certificate_expires_at: agreed.certificateExpiresAt.toISOString() }
    }
  }
  const writeProbe: DestinationCheck = {
    id: 'dest.write_probe',
    async run(signal) {
      using probe = new HttpObject(connections, target, `.probe-${randomBytes(6).toString('hex')}`)
      return probe.readable ? await writeAndRemove(probe, signal) : { skipped: 'what is written could not be removed' }
    }
  }
  return target.url.protocol === 'https:' ? [tls, writeProbe] : [writeProbe]
}

const PROBE = Buffer.from('Written to see whether an export can be written here. May be removed.\n')

/**
 * Writes a tiny object beside the target and removes it. A server that gives no sign that it would remove it is not written to:
 * it is asked for leave only, and only if it knows logins, since some that do not keep an empty file of such a question.
 */
async function writeAndRemove(probe: HttpObject, signal: AbortSignal) {
  const removal = await removalOf(probe, signal)
  if (removal === 'login') {
    const status = await probe.refusal(signal)
    if (status !== undefined && status >= 300) throw answerFailure(probe.host, { status, headers: {} })
  }
  if (removal !== 'offered') return { skipped: 'what is written could not be removed' }

  const answer = await probe.send(PROBE.length, chunk(PROBE), { 'content-type': 'text/plain' }, signal)
  const written = answer.status >= 200 && answer.status < 300
  const removed = await probe.remove(signal)
  if (!written) throw answerFailure(probe.host, answer)
  return removed.length > 0 ? { bytes: PROBE.length } : { bytes: PROBE.length, left: 'the probe could not be removed' }
}

/**
 * Whether the server would remove the probe, asked by removing it before it is there. 404 alone may be what the server answers
 * to any method that it does not know; then it says 404 to OPTIONS as well, or leaves DELETE out of `Allow`.
 */
async function removalOf(probe: HttpObject, signal: AbortSignal): Promise<'offered' | 'not offered' | 'login'> {
  const { status } = await probe.ask('DELETE', signal)
  if (status === 401 || status === 403) return 'login'
  if (status !== 404 && status !== 410 && !(status >= 200 && status < 300)) return 'not offered'
  const options = await probe.ask('OPTIONS', signal)
  if ([400, 405, 501].includes(options.status)) return 'offered'
  // WebDAV (RFC 4918) has DELETE, though not in `Allow` of what is not there.
  const named = options.headers.dav !== undefined || /\bDELETE\b/i.test(options.headers.allow ?? '')
  return options.status >= 200 && options.status < 300 && named ? 'offered' : 'not offered'
}

async function* chunk(bytes: Uint8Array) {
  yield bytes
}
