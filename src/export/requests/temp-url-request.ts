import { tempUrlPlace } from '../../destinations/tempurl/place.ts'
import { OptionUnsupported } from '../../domain/export-errors.ts'
import type { ExportOptions } from '../../domain/export-options.ts'
import type { TaskId } from '../../domain/ids.ts'
import { isIpRange } from '../../domain/ip-range.ts'
import type { Format } from '../../formats/format.ts'
import type { PackedFormat } from '../../formats/packing.ts'

/** What a task that keeps its file here itself is told to write to. */
export const TEMPURL = 'tempurl:'

/** @throws OptionUnsupported for `temp_url` elsewhere, a range that is none, more time than the operator allows, and sidecars */
export function checkTempUrl(
  exportTo: string,
  { tempUrl, sidecars }: ExportOptions,
  maxSeconds = Number.POSITIVE_INFINITY
): void {
  const { ttl_seconds = 0, ip_range } = tempUrl
  if (exportTo !== TEMPURL) {
    if (Object.keys(tempUrl).length === 0) return
    throw new OptionUnsupported('/temp_url', `it goes with "export_to": "${TEMPURL}" only`)
  }
  if (sidecars.length > 0) {
    throw new OptionUnsupported(
      '/sidecars',
      'a temporary URL is of one file; its SHA-256 is in the task and in Repr-Digest'
    )
  }
  if (ttl_seconds > maxSeconds) {
    throw new OptionUnsupported('/temp_url/ttl_seconds', `the operator allows at most ${maxSeconds}`)
  }
  if (ip_range !== undefined && !isIpRange(ip_range)) {
    throw new OptionUnsupported('/temp_url/ip_range', 'it has to be an address, or a network such as 203.0.113.0/24')
  }
}

/**
 * How a request for a temporary URL is carried out. A file that can be laid out is made whenever it is read, unless it is to
 * be read back now, or from a disk that is changed on its way; every other one is kept. A compressed one is read back whole,
 * as its SHA-256 is known only then.
 */
export function tempUrlPlan(
  format: Format | PackedFormat,
  options: ExportOptions,
  task: TaskId,
  changesDisk: boolean
): { readonly place: URL; readonly template: string; readonly options: ExportOptions } {
  const laidOut = 'layout' in format
  const readBack = options.verify === 'ranges' || options.verify === 'full'
  return {
    place: tempUrlPlace(laidOut && !readBack && !changesDisk ? 'virtual' : 'staged'),
    template: options.object.key_template ?? `{image_name}-${task.slice(0, 8)}.{ext}`,
    options: laidOut ? options : { ...options, verify: 'full' }
  }
}
