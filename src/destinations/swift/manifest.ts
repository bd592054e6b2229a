import type { DestinationError } from '../../domain/destination-errors.ts'
import { failure } from '../failures.ts'
import type { Answer } from '../put.ts'
import { manifestFailure, swiftFailure } from './failures.ts'

export type Segment = { readonly path: string; readonly etag: string; readonly size_bytes: number }

/**
 * What goes wrong with a manifest can be in the body of an answer with a good status: with `heartbeat=on` the status is sent
 * before the segments are looked at.
 * @returns undefined for success
 * @see https://docs.openstack.org/swift/latest/middleware.html#static-large-objects
 */
export function manifestRefusal({ status, headers, body }: Answer, host: string): DestinationError | undefined {
  if (status >= 300) {
    return status === 400 ? manifestFailure(host, status, body) : swiftFailure(host, { status, headers, body })
  }
  // Looked for in the text: of a long list of errors, only the beginning was read.
  const said = /"Response Status":\s*"(\d{3})/.exec(body)?.[1]
  // 201 is said by servers without heartbeats, and then it is final.
  if (said === undefined) return status === 201 ? undefined : failure('outcomeUnknown', host, { status })
  const errors = /"Errors":\s*\[\s*[^\]\s]/.test(body)
  return Number(said) < 300 && !errors ? undefined : manifestFailure(host, Number(said), body)
}
