import { type Checksum, type ExportOptions, NO_OPTIONS, type Sidecar } from '../../domain/export-options.ts'
import { hintIn } from '../../domain/hint.ts'
import { NO_LABELS, type TaskLabels } from '../../domain/task.ts'
import type { PreflightReport } from '../../export/requests/preflight-export.ts'
import type { LabelFields, OptionFields } from '../schemas/export-request.ts'
import type { PreflightAnswer } from '../schemas/preflight.ts'

/** What a body asks for besides the specification's fields; what it leaves out is the default. */
export const toOptions = ({ scrub: { disk_key: _sealed, ...scrub } = {}, ...body }: OptionFields): ExportOptions => ({
  object: body.object ?? NO_OPTIONS.object,
  checksums: (body.checksums ?? []).filter((name): name is Checksum => name !== 'content'),
  contentHash: (body.checksums ?? []).includes('content'),
  sidecars: [...new Set<Sidecar>([...(body.sidecars ?? []), ...(body.manifest ? (['manifest'] as const) : [])])],
  verify: body.verify ?? NO_OPTIONS.verify,
  limits: body.limits ?? NO_OPTIONS.limits,
  tempUrl: body.temp_url ?? NO_OPTIONS.tempUrl,
  ...(isFull(scrub) && { scrub })
})

/** What was asked for, without the defaults. */
export function fromOptions(options: ExportOptions): Omit<OptionFields, 'dry_run' | 'manifest'> {
  const { object, sidecars, verify, limits, tempUrl, contentHash } = options
  const { keyed: _told, ...scrub } = options.scrub ?? {}
  const checksums = [...options.checksums, ...(contentHash ? (['content'] as const) : [])]
  return {
    ...(isFull(object) && { object }),
    ...(checksums.length > 0 && { checksums }),
    ...(sidecars.length > 0 && { sidecars: [...sidecars] }),
    ...(verify !== NO_OPTIONS.verify && { verify }),
    ...(isFull(limits) && { limits }),
    ...(isFull(scrub) && { scrub }),
    ...(isFull(tempUrl) && { temp_url: tempUrl })
  }
}

export const toLabels = (body: LabelFields): TaskLabels => ({
  description: body.description ?? NO_LABELS.description,
  tags: body.tags ?? NO_LABELS.tags,
  metadata: body.metadata ?? NO_LABELS.metadata,
  priority: body.priority ?? NO_LABELS.priority,
  keepSeconds: body.expires_after_seconds ?? NO_LABELS.keepSeconds
})

/** What was asked for, without the defaults. */
export const fromLabels = ({ description, tags, metadata, priority, keepSeconds }: TaskLabels): LabelFields => ({
  ...(description !== '' && { description }),
  ...(tags.length > 0 && { tags: [...tags] }),
  ...(isFull(metadata) && { metadata }),
  ...(priority !== NO_LABELS.priority && { priority }),
  ...(keepSeconds !== null && { expires_after_seconds: keepSeconds })
})

const isFull = (value: object): boolean => Object.keys(value).length > 0

export const toPreflight = ({ ok, durationMs, checks, estimate }: PreflightReport): PreflightAnswer => ({
  ok,
  duration_ms: durationMs,
  checks: checks.map((check) => ({ ...check, ...hintOf(check.message) })),
  estimate: estimate && {
    bytes_min: estimate.bytesMin,
    bytes_max: estimate.bytesMax,
    seconds: estimate.seconds,
    basis: estimate.basis
  }
})

function hintOf(message = ''): { hint?: string } {
  const hint = hintIn(message)
  return hint === undefined ? {} : { hint }
}
