import { oneChunk } from '../../domain/bytes.ts'
import type { DestinationError } from '../../domain/destination-errors.ts'
import type { Connections } from '../connection.ts'
import type { DestinationCheck, UploadTarget } from '../destination.ts'
import { answerFailure, failure } from '../failures.ts'
import type { Answer } from '../put.ts'
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
      using probe = probeOf(connections, target)
      const whole = probe.nameBytes - endingOf(target).length
      if (whole <= MOST_NAME_BYTES && probe.nameBytes > MOST_NAME_BYTES) return NO_ROOM
      return probe.readable ? await writeAndRemove(probe, signal) : NOT_PROBED
    }
  }
  return target.url.protocol === 'https:' ? [tls, writeProbe] : [writeProbe]
}

/** Removes the probe of an attempt whose worker died over it. */
export async function removeProbe(connections: Connections, target: UploadTarget, signal: AbortSignal): Promise<void> {
  using probe = probeOf(connections, target)
  if (probe.readable) await probe.remove(signal)
}

/** One name for all attempts: what one leaves is found by the next. */
const endingOf = ({ marks }: UploadTarget): string => `.probe-${marks.exportId.slice(-12)}`

const probeOf = (connections: Connections, target: UploadTarget): HttpObject =>
  new HttpObject(connections, target, endingOf(target))

const NO_ROOM = { skipped: 'the name is so long that none fits beside it' }
const NOT_PROBED = { skipped: 'what is written could not be removed' }

/** For an attempt that has been told to end. */
const LAST_REMOVAL_MS = 3_000

const PROBE = Buffer.from('Written to see whether an export can be written here. May be removed.\n')

/**
 * Writes a tiny object beside the target and removes it. A server that gives no sign that it would remove it is not written to:
 * it is asked for leave only, and only if it knows logins, or nothing at all so far, since some others keep an empty file of
 * such a question.
 */
async function writeAndRemove(probe: HttpObject, signal: AbortSignal) {
  const removal = await removalOf(probe, signal)
  if (removal === 'login' || removal === 'unknown') {
    const status = await probe.refusal(signal, removal === 'unknown')
    const refused = status !== undefined && status >= 300 && status !== EXPECTATION_FAILED
    if (refused) throw answerFailure(probe.host, { status, headers: {} })
  }
  if (removal !== 'offered') return NOT_PROBED

  const { answer, removed } = await sendAndRemove(probe, signal).catch(async (error: unknown) => {
    // Canceled or broken off on the way, it may stand there all the same.
    await probe.remove(AbortSignal.timeout(LAST_REMOVAL_MS)).catch(() => {})
    throw error
  })
  const written = answer.status >= 200 && answer.status < 300
  if (!written)
    throw probe.nameBytes > MOST_NAME_BYTES && answer.status >= 500
      ? failure('nameTooLong', probe.host, { status: answer.status })
      : refusalFailure(probe.host, answer)
  return removed.length > 0 ? { bytes: PROBE.length } : { bytes: PROBE.length, left: 'the probe could not be removed' }
}

async function sendAndRemove(probe: HttpObject, signal: AbortSignal) {
  const answer = await probe.send(PROBE.length, oneChunk(PROBE), { 'content-type': 'text/plain' }, signal)
  return { answer, removed: await probe.remove(signal) }
}

/**
 * Whether the server would remove the probe, asked by removing it before it is there. 404 alone may be what the server answers
 * to any method that it does not know; then it says 404 to OPTIONS as well, or leaves DELETE out of `Allow`.
 * @throws DestinationError where the answers are those of a place that takes nothing
 */
async function removalOf(
  probe: HttpObject,
  signal: AbortSignal
): Promise<'offered' | 'not offered' | 'login' | 'unknown'> {
  const answer = await probe.ask('DELETE', signal)
  const { status } = answer
  if (status === 401 || status === 403) return 'login'
  if (UNKNOWN_METHOD.includes(status)) {
    // RFC 9110 15.5.6: it names the methods that there are.
    const { allow = '' } = answer.headers
    if (allow !== '' && !probe.isAmong(allow)) throw answerFailure(probe.host, answer)
    return 'not offered'
  }
  if (isRefusal(status)) {
    // Not what there is to say of an object that is not there; said to the one method that anything knows, it is said to all.
    const look = await probe.ask('HEAD', signal)
    if (isRefusal(look.status)) throw refusalFailure(probe.host, { ...look, body: answer.body })
    return 'not offered'
  }
  const options = await probe.ask('OPTIONS', signal)
  if ([400, 405, 501].includes(options.status)) return 'offered'
  // Here may be nothing that takes anything, or what takes uploads and says 404 to all else.
  if (ABSENT.includes(options.status)) return 'unknown'
  // WebDAV (RFC 4918) has DELETE, though not in `Allow` of what is not there.
  const named = options.headers.dav !== undefined || /\bDELETE\b/i.test(options.headers.allow ?? '')
  return options.status >= 200 && options.status < 300 && named ? 'offered' : 'not offered'
}

/** nginx says so in words alone (its 495 and 496 are sent as 400). */
const refusalFailure = (host: string, answer: Answer): DestinationError =>
  answer.status === 400 && /no required ssl certificate/i.test(answer.body)
    ? failure('clientCertificateMissing', host, { status: answer.status })
    : answerFailure(host, answer)

/** What most file systems take; servers that keep files answer 500 to more. */
const MOST_NAME_BYTES = 255
const UNKNOWN_METHOD: readonly number[] = [405, 501]
/** To asking first: it says nothing of what is asked for. */
const EXPECTATION_FAILED = 417
/** Answers to what is not there. */
const ABSENT: readonly number[] = [404, 410]

const isRefusal = (status: number): boolean =>
  status >= 300 && ![...ABSENT, ...UNKNOWN_METHOD].includes(status) && status !== 401 && status !== 403
