import type { Credentials, Destination } from '../../destinations/destination.ts'
import type { Destinations } from '../../destinations/registry.ts'
import { objectUrl, parseTarget, splitSecretQuery } from '../../destinations/target.ts'
import { DestinationInvalid } from '../../domain/destination-errors.ts'
import { FormatUnsupported } from '../../domain/errors.ts'
import { KeyTemplateInvalid } from '../../domain/export-errors.ts'
import type { ExportOptions } from '../../domain/export-options.ts'
import type { ImageId, TaskId } from '../../domain/ids.ts'
import { ImageNotFound } from '../../domain/image-errors.ts'
import type { ExportRequest, FormatOptions, TaskLabels } from '../../domain/task.ts'
import type { Viewer } from '../../domain/viewer.ts'
import type { Format } from '../../formats/format.ts'
import { chooseFormat, type ToldProperties } from '../../formats/format-family.ts'
import type { PackedFormat } from '../../formats/packing.ts'
import type { Formats } from '../../formats/registry.ts'
import type { ScrubPlan } from '../../scrub/profiles.ts'
import type { ExportableImage, TaskStore } from '../ports.ts'
import { assertScrub, type ScrubPolicy, scrubPlanOf, toldProperties } from '../scrub-policy.ts'
import { checkLimits, type TaskMaxima } from './check-limits.ts'
import { checkOptions } from './check-options.ts'
import { objectUrlOf, timesOf } from './key-template.ts'
import { checkTempUrl, TEMPURL, tempUrlPlan } from './temp-url-request.ts'

/** What a client asks for. `credentials` were checked against the schemas of the destinations. */
export type ExportBody = {
  readonly imageId: ImageId
  readonly exportTo: string
  readonly exportFormat: string
  readonly formatOptions: FormatOptions
  readonly options: ExportOptions
  readonly labels: TaskLabels
  readonly credentials?: Credentials
  /** Opens the encryption of the guest's disk. */
  readonly diskKey?: string
  /** The failed task that this one repeats. */
  readonly retryOf?: TaskId
}

/** A request that can be understood: the parts of the service it means, and the name of its object. */
export type Resolved = {
  readonly request: ExportRequest
  readonly image: ExportableImage
  readonly scrub: ScrubPlan
  /** Properties of the image that the file will hold. */
  readonly told: ToldProperties
  readonly format: Format | PackedFormat
  readonly destination: Destination
  readonly credentials: Credentials | undefined
  readonly objectUrl: URL
}

export type ResolveUses = {
  readonly tasks: Pick<TaskStore, 'exportableImage'>
  readonly formats: Formats
  readonly destinations: Destinations
  readonly scrubPolicy: ScrubPolicy
  /** The most that a temporary URL may live; as much as the schema allows when absent. */
  readonly tempUrlMaxSeconds?: number
  /** As much as the schema allows when absent. */
  readonly taskMaxima?: TaskMaxima
}

/**
 * Reads a request as far as it can be without asking anybody but the database.
 * @throws FormatUnsupported, FormatOptionsInvalid, DestinationInvalid, OptionUnsupported, KeyTemplateInvalid, ImageNotFound,
 *   ScrubInvalid, ScrubRequired
 */
export async function resolveRequest(
  uses: ResolveUses,
  viewer: Viewer,
  ids: { readonly task: TaskId; readonly exportId: string },
  given: ExportBody,
  now = new Date()
): Promise<Resolved> {
  const body = { ...given, options: markKeyed(given) }
  const { imageId, exportFormat, formatOptions } = body
  const family = uses.formats.get(exportFormat)
  if (!family) throw new FormatUnsupported([...uses.formats.keys()])
  chooseFormat(family, formatOptions) // refuses what it does not take
  const { exportTo, credentials } = splitSecretQuery(body.exportTo, body.credentials)
  const named = exportTo === TEMPURL ? new URL(TEMPURL) : parseTarget(exportTo)
  const destination = uses.destinations.forTarget(named)
  checkOptions(body.options, destination, credentials)
  checkTempUrl(exportTo, body.options, uses.tempUrlMaxSeconds)
  checkLimits(exportTo, body.options, body.labels, uses.taskMaxima, now)

  const image = await uses.tasks.exportableImage(viewer, imageId)
  if (!image) throw new ImageNotFound(imageId)
  assertScrub(uses.scrubPolicy, image.facts, body.options)
  const scrub = scrubPlanOf(uses.scrubPolicy, image.facts, body.options)
  const told = family.tells ? toldProperties(uses.scrubPolicy, image.facts) : {}
  const format = chooseFormat(family, formatOptions, told)
  const asked = { place: named, template: body.options.object.key_template, options: body.options }
  const { place, template, options } =
    exportTo === TEMPURL ? tempUrlPlan(format, body.options, ids.task, scrub.changesDisk) : asked
  const values = {
    export_id: ids.exportId,
    task_id: ids.task,
    image_id: imageId,
    image_name: image.name ?? 'image',
    format: exportFormat,
    ext: format.extension,
    ...timesOf(now)
  }
  const below = () => (template === undefined ? objectUrl(place, ids.exportId) : objectUrlOf(place, template, values))
  const url = destination.namesObject(credentials) ? place : below()
  if (template !== undefined) checkName(destination, url, objectUrl(place, ids.exportId), credentials)
  const request = { imageId, exportTo, exportFormat, formatOptions, options }
  return { request, image, scrub, told, format, destination, credentials, objectUrl: url }
}

/** That there is a disk key is an option like others; the key is none. */
const markKeyed = ({ options, diskKey }: ExportBody): ExportOptions =>
  diskKey === undefined ? options : { ...options, scrub: { ...options.scrub, keyed: true } }

/**
 * Blames the template for a name that the destination cannot take, where it would take the place.
 * @throws KeyTemplateInvalid
 */
function checkName(destination: Destination, named: URL, unnamed: URL, credentials: Credentials | undefined): void {
  const refusal = refusalOf(() => destination.check(named, credentials))
  if (refusal?.code !== 'DEST_URL_INVALID' || refusalOf(() => destination.check(unnamed, credentials))) return
  throw new KeyTemplateInvalid(refusal.message.replace(/^export_to: |\.$/g, ''))
}

function refusalOf(check: () => void): DestinationInvalid | undefined {
  try {
    check()
  } catch (error) {
    if (error instanceof DestinationInvalid) return error
    throw error
  }
}
