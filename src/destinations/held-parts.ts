import { MiB } from '../domain/bytes.ts'
import type { UploadTarget } from './destination.ts'
import { failure } from './failures.ts'

/** A worker has up to two of this size in memory for one export, and three of those that are smaller. */
const MOST_HELD_BYTES = 512 * MiB

/**
 * Parts of a file that cannot be made again in pieces wait in memory until the destination has them.
 * @param host for messages
 * @throws DestinationError DEST_LIMIT_EXCEEDED where they are too large for that
 */
export function assertHoldable({ virtual }: Pick<UploadTarget, 'virtual'>, partBytes: number, host: string): void {
  if (!virtual && partBytes > MOST_HELD_BYTES) throw failure('partsTooLarge', host)
}
