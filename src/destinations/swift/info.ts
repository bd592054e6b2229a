import { GiB, MiB } from '../../domain/bytes.ts'
import { jsonIn } from './text.ts'

/** What a cluster takes, from its `/info`. */
export type ClusterLimits = {
  readonly maxFileBytes: number
  readonly maxNameBytes: number
  /** Static large objects; undefined where there are none. */
  readonly slo:
    | { readonly maxSegments: number; readonly minSegmentBytes: number; readonly maxManifestBytes: number }
    | undefined
  /** How many names one bulk delete takes; 0 where there is none. */
  readonly bulkDeletes: number
  readonly tempUrlDigest: string
}

/** Twenty times Swift's default. Where a cluster allows more, no more are made nor listed: a list is kept in memory. */
export const MOST_SEGMENTS = 20_000
const SLO = { maxSegments: 1000, minSegmentBytes: 1, maxManifestBytes: 8 * MiB }
/** Swift's defaults, for clusters that do not tell. */
export const DEFAULT_CLUSTER: ClusterLimits = {
  maxFileBytes: 5 * GiB + 2,
  maxNameBytes: 1024,
  slo: SLO,
  bulkDeletes: 0,
  tempUrlDigest: 'sha256'
}
/** Best first. */
const DIGESTS = ['sha256', 'sha512', 'sha1']

type Info = {
  readonly swift?: Numbers
  readonly slo?: Numbers
  readonly bulk_delete?: Numbers
  readonly tempurl?: { readonly allowed_digests?: readonly unknown[] }
}
type Numbers = Readonly<Record<string, unknown>>

/** `/info` is beside the `v1` of the account's URL: at the root of Swift, below `/swift` at Ceph. */
export function infoUrl(storage: URL): URL {
  const url = new URL(storage)
  url.pathname = `${storage.pathname.replace(/\/v1(?:\.0)?(?:\/.*)?$/, '')}/info`
  return url
}

/** Reads the answer of `/info`; what it does not say is as Swift has it by default. */
export function readInfo(body: string): ClusterLimits {
  const info: Info = jsonIn(body)
  const { swift, slo, bulk_delete: bulk } = info
  if (!swift) return DEFAULT_CLUSTER
  return {
    maxFileBytes: count(swift.max_file_size) ?? DEFAULT_CLUSTER.maxFileBytes,
    maxNameBytes: count(swift.max_object_name_length ?? swift.max_object_name_size) ?? DEFAULT_CLUSTER.maxNameBytes,
    slo: slo && {
      maxSegments: Math.min(count(slo.max_manifest_segments) ?? SLO.maxSegments, MOST_SEGMENTS),
      minSegmentBytes: count(slo.min_segment_size) ?? SLO.minSegmentBytes,
      maxManifestBytes: count(slo.max_manifest_size) ?? SLO.maxManifestBytes
    },
    bulkDeletes: bulk ? (count(bulk.max_deletes_per_request) ?? 1000) : 0,
    tempUrlDigest: digestOf(info)
  }
}

/** Servers that list none are from the time when there was SHA-1 only; Ceph is until today. */
function digestOf({ tempurl }: Info): string {
  const allowed = tempurl?.allowed_digests
  return (Array.isArray(allowed) ? DIGESTS.find((digest) => allowed.includes(digest)) : undefined) ?? 'sha1'
}

const count = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? value : undefined
