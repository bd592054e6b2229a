import type { Destination } from '../../destinations/destination.ts'
import type { Destinations } from '../../destinations/registry.ts'
import { FormatUnsupported } from '../../domain/errors.ts'
import type { Secret } from '../../domain/secret.ts'
import type { Format } from '../../formats/format.ts'
import { chooseFormat, type ToldProperties } from '../../formats/format-family.ts'
import type { PackedFormat } from '../../formats/packing.ts'
import type { Formats } from '../../formats/registry.ts'
import type { ScrubPlan } from '../../scrub/profiles.ts'
import { contentIdOf } from '../content-id.ts'
import type { Claim, Opener } from '../ports.ts'
import type { Where } from '../upload-target.ts'

export type ExportJobUses = { readonly formats: Formats; readonly destinations: Destinations; readonly opener: Opener }

/** One export in the words of the service's parts. */
export type ExportJob = {
  readonly claim: Claim
  readonly format: Format | PackedFormat
  readonly destination: Destination
  readonly where: Where
  /** Opens the encryption of the guest's disk. */
  readonly diskKey: Secret<string> | undefined
}

/**
 * @param told properties of the image that may leave with it
 * @throws FormatUnsupported, CredentialsLost
 */
export function exportJob(uses: ExportJobUses, claim: Claim, { identity }: ScrubPlan, told: ToldProperties): ExportJob {
  const { task, sealed, source } = claim
  const { request } = task
  const objectUrl = new URL(claim.objectUrl)
  const family = uses.formats.get(request.exportFormat)
  if (!family) throw new FormatUnsupported([...uses.formats.keys()])
  const { credentials, diskKey } = sealed ? uses.opener.open(task.id, task.owner, sealed) : {}
  const marks = {
    taskId: task.id,
    owner: task.owner,
    exportId: task.exportId,
    contentId: contentIdOf(request, source, identity, family.tells && told)
  }
  return {
    claim,
    format: chooseFormat(family, request.formatOptions, told),
    destination: uses.destinations.forTarget(objectUrl),
    where: { objectUrl, credentials, marks, object: request.options.object },
    diskKey
  }
}
