import { createHash } from 'node:crypto'
import type { UploadTarget } from '../../destinations/destination.ts'

/**
 * Equal only for uploads of the same bytes to the same place: then one attempt may go on where another has ended. The content
 * id stands for the image, the format, its options and the code; the size of the parts is compared part by part.
 * @param scrub digest of what was changed on the disk; undefined where nothing was
 */
export function uploadIdentity({ url, marks, length, exact }: UploadTarget, scrub?: string): string {
  const facts = [url.href, marks.contentId, scrub ?? null, length, exact]
  return createHash('sha256').update(JSON.stringify(facts)).digest('hex')
}
