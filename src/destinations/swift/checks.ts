import type { CheckId, DestinationCheck, UploadTarget } from '../destination.ts'
import { failure } from '../failures.ts'
import { swiftFailure } from './failures.ts'
import type { SwiftObject } from './object.ts'
import { pathOf, segmentsContainer } from './place.ts'
import type { Plan } from './plan.ts'
import { ensureSegmentsContainer } from './segments.ts'

/** A worker that dies between probe and removal leaves nothing for longer than this. */
const PROBE_SECONDS = 3600

type Facts = Readonly<Record<string, string | number>>

/** The questions to a cluster beforehand. Credentials for one object are asked what they may answer. */
export function swiftChecks(
  object: SwiftObject,
  target: UploadTarget,
  plan: (signal: AbortSignal) => Promise<Plan>,
  signedBefore: boolean
): readonly DestinationCheck[] {
  const check = (id: CheckId, run: (signal: AbortSignal) => Promise<Facts | undefined>) => ({ id, run })
  return [
    check('dest.auth', (signal) => checkAuth(object, signal)),
    ...(object.alone ? [] : [check('dest.container', (signal) => checkContainer(object, target, signal))]),
    check('dest.limits', async (signal) => {
      const { how, partBytes, parts } = await plan(signal)
      const { maxFileBytes, slo } = await object.objects.account.limits(signal)
      return {
        how,
        parts,
        part_bytes: partBytes,
        max_part_bytes: maxFileBytes,
        ...(slo && { max_parts: slo.maxSegments })
      }
    }),
    // A signature for uploading cannot remove the probe.
    ...(signedBefore
      ? []
      : [
          check('dest.write_probe', async (signal) => {
            await checkWriting(object, target, (await plan(signal)).how === 'segments', signal)
            return undefined
          })
        ])
  ]
}

async function checkAuth(object: SwiftObject, signal: AbortSignal): Promise<Facts> {
  const { storage, expiresAt } = await object.objects.account.login(signal)
  if (object.alone) await object.find(signal)
  return {
    object_store: storage.host,
    ...(expiresAt !== undefined && { expires_at: new Date(expiresAt).toISOString().replace(/\.\d+Z$/, 'Z') })
  }
}

async function checkContainer(
  { objects, place }: SwiftObject,
  target: UploadTarget,
  signal: AbortSignal
): Promise<Facts> {
  const host = await objects.account.host(signal)
  const container = await objects.container(place.container, signal)
  // Rights may be to write only: the probe tells.
  if (container.status >= 300 && container.status !== 403) throw swiftFailure(host, container)
  const segments = await objects.container(segmentsContainer(place.container), signal)
  const account = await objects.account.send({ method: 'HEAD', path: '' }, signal)
  for (const [of, { headers }] of [
    ['container', container],
    ['container', segments],
    ['account', account]
  ] as const) {
    const quota = numberIn(headers[`x-${of}-meta-quota-bytes`])
    const used = numberIn(headers[`x-${of}-bytes-used`]) ?? 0
    if (quota !== undefined && used + target.length > quota) throw failure('quotaExceeded', host)
  }
  return { container: place.container, segments_container: segments.status === 404 ? 'will be made' : 'is there' }
}

const numberIn = (value: string | string[] | undefined): number | undefined =>
  typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : undefined

/** Writes an empty object wherever the export will write, with all that will be kept with the export's, and removes it. */
async function checkWriting(
  object: SwiftObject,
  target: UploadTarget,
  segments: boolean,
  signal: AbortSignal
): Promise<void> {
  const { objects, place } = object
  const folder = place.object.slice(0, place.object.lastIndexOf('/') + 1)
  const name = `${folder}.glance-export-probe-${target.marks.exportId}`
  const headers = { ...object.headers(target), 'x-delete-after': String(PROBE_SECONDS) }
  if (segments) await ensureSegmentsContainer(objects, place, signal)
  for (const container of [place.container, ...(segments ? [segmentsContainer(place.container)] : [])]) {
    const path = pathOf(container, name)
    const answer = await objects.account.send({ method: 'PUT', path, headers }, signal)
    if (answer.status !== 201) throw swiftFailure(await objects.account.host(signal), answer)
    await objects.delete(path, signal)
  }
}
