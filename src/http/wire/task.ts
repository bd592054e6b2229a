import { imageId, type OwnerId } from '../../domain/ids.ts'
import type { Cleanup, Task, TaskStatus, TaskSummary } from '../../domain/task.ts'
import { toldReport } from '../../export/proof/told-report.ts'
import type { ExportBody } from '../../export/requests/resolve-request.ts'
import { TEMPURL } from '../../export/requests/temp-url-request.ts'
import type { FlatBody, GlanceBody, RackspaceBody, TaskBody } from '../schemas/export-request.ts'
import type { ListedTask, TaskAnswer } from '../schemas/task.ts'
import { fromLabels, fromOptions, toLabels, toOptions } from './options.ts'
import { type DefaultSwift, fromRackspace } from './rackspace.ts'
import { messageOf, phaseOf, toFailure, toProgress, toQueue } from './task-life.ts'
import { toWireTime } from './time.ts'

/** Glance's words for the specification's statuses. */
const GLANCE_STATUS: Readonly<Record<TaskStatus, ListedTask['status']>> = {
  queued: 'pending',
  processing: 'processing',
  transferring: 'processing',
  success: 'success',
  failure: 'failure'
}

/** @throws RequestRefused for Rackspace's form where the operator has set no Swift for it */
export function fromWire(body: TaskBody, owner: OwnerId, swift: DefaultSwift | undefined): ExportBody {
  if (isRackspace(body)) return fromRackspace(body, owner, swift)
  return 'input' in body ? fromGlance(body) : fromFlat(body)
}

export const wantsDryRun = (body: TaskBody): boolean =>
  !isRackspace(body) && ('input' in body ? body.input : body).dry_run === true

const isRackspace = (body: TaskBody): body is RackspaceBody =>
  'input' in body && 'receiving_swift_container' in body.input

export const fromFlat = (body: Omit<FlatBody, 'task_type'>): ExportBody => ({
  imageId: imageId(body.image_uuid),
  exportTo: body.export_to ?? TEMPURL,
  exportFormat: body.export_format,
  formatOptions: body.format_options ?? {},
  options: toOptions(body),
  labels: toLabels(body),
  ...(body.export_to_credentials && { credentials: body.export_to_credentials }),
  ...(body.scrub?.disk_key !== undefined && { diskKey: body.scrub.disk_key })
})

/** One of the two names of the image is there: the schema wants it. */
const fromGlance = ({ input }: GlanceBody): ExportBody =>
  fromFlat({ ...input, image_uuid: input.image_uuid ?? input.image_id ?? '' })

/**
 * The specification's fields and Glance's side by side, with our additions.
 * @param location where the file is, if that is not what its result says: a temporary URL has to be asked for
 */
export const toWire = (task: Task, location = ownLocation(task)): TaskAnswer => ({
  ...toListed(task),
  input: {
    image_uuid: task.request.imageId,
    export_to: task.request.exportTo,
    export_format: task.request.exportFormat,
    ...formatOptionsOf(task),
    ...fromOptions(task.request.options),
    ...fromLabels(task.labels)
  },
  result: toResult(task, location),
  message: messageOf(task),
  image_id: task.request.imageId,
  ...(task.requestId !== null && { request_id: task.requestId }),
  ...(task.userId !== null && { user_id: task.userId }),
  export_to: task.request.exportTo,
  export_format: task.request.exportFormat,
  ...formatOptionsOf(task),
  ...fromOptions(task.request.options),
  ...labelsOf(task),
  ...(task.status === 'success' && location !== undefined && { export_location: location }),
  phase: phaseOf(task),
  attempt: task.attempts,
  ...(task.retryOf !== null && { retry_of: task.retryOf }),
  progress: toProgress(task),
  queue: toQueue(task),
  scrub_report: task.scrubReport && toldReport(task.scrubReport),
  failure: task.failure && toFailure(task.failure),
  warnings: task.warnings.map((warning) => ({ ...warning })),
  cleanup: task.cleanup && toCleanup(task.cleanup),
  credentials: task.credentials && { ...task.credentials }
})

export const toListed = (task: TaskSummary): ListedTask => ({
  id: task.id,
  type: 'export',
  status: GLANCE_STATUS[task.status],
  owner: task.owner,
  created_at: toWireTime(task.createdAt),
  updated_at: toWireTime(task.updatedAt),
  ...(task.expiresAt && { expires_at: toWireTime(task.expiresAt) }),
  self: `/v2/tasks/${task.id}`,
  schema: '/v2/schemas/task',
  task_type: 'export',
  task_status: task.status,
  image_uuid: task.request.imageId
})

const ownLocation = ({ request, result }: Task): string | undefined =>
  request.exportTo === TEMPURL ? undefined : result?.location

const toResult = ({ status, result }: Task, location: string | undefined): TaskAnswer['result'] =>
  status === 'success' && result
    ? {
        ...(location !== undefined && { export_location: location }),
        bytes: result.bytes,
        virtual_size: result.virtualSize,
        checksums: { ...(result.sha256 !== null && { sha256: result.sha256 }), ...result.checksums },
        ...(result.composite && {
          composite_checksum: { sha256: result.composite.sha256, part_bytes: result.composite.partBytes }
        }),
        ...(result.contentHash && { content_hash: { ...result.contentHash } }),
        ...(result.etag !== undefined && { etag: result.etag }),
        ...(result.verify && {
          verify: { level: result.verify.level, ok: result.verify.ok, ranges_read: result.verify.rangesRead }
        }),
        ...(result.reused && { reused: true }),
        ...(result.sidecars?.sha256 !== undefined && { sha256_location: result.sidecars.sha256 }),
        ...(result.sidecars?.manifest !== undefined && { manifest_location: result.sidecars.manifest }),
        parts: result.parts,
        duration_seconds: result.durationSeconds
      }
    : null

const toCleanup = ({ state, removed, left }: Cleanup): NonNullable<TaskAnswer['cleanup']> => ({
  state,
  removed: [...removed],
  left: left.map((one) => ({ ...one }))
})

const formatOptionsOf = ({ request }: Task) =>
  Object.keys(request.formatOptions).length > 0 ? { format_options: request.formatOptions } : {}

/** As they are, defaults and all: they may be changed while the task lives. */
const labelsOf = ({ labels }: Task) => ({
  description: labels.description,
  tags: [...labels.tags],
  metadata: { ...labels.metadata },
  priority: labels.priority
})

/** What a filter by Glance's `status` means; both vocabularies are understood, and the specification's example `waiting`. */
export const statusesOf = (status: string): readonly TaskStatus[] =>
  status === 'pending' ? ['queued'] : status === 'processing' ? ['processing', 'transferring'] : exactStatus(status)

/** What a filter by `task_status` means: `processing` leaves out `transferring`. */
export const exactStatus = (status: string): readonly TaskStatus[] =>
  status === 'waiting' || status === 'pending' ? ['queued'] : [status as TaskStatus]
