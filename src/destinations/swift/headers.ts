import type { IncomingHttpHeaders } from 'node:http'
import type { Found, UploadTarget } from '../destination.ts'

const EXPORT_ID = 'glance-export-id'
const CONTENT_ID = 'glance-export-content'
/** Of the metadata, temporary URLs show only what begins so (Swift's tempurl middleware, outgoing_allow_headers). */
const SHOWN_TO_ALL = 'public-'

/** Whom the metadata has to be visible for: whoever may read the object, or temporary URLs too. */
export type Audience = 'readers' | 'temporary URLs'

/** What is kept with the object: its media type, whose it is, and what the user asked for. */
export function objectHeaders({ mediaType, marks, object }: UploadTarget, audience: Audience): Record<string, string> {
  const mark = audience === 'readers' ? '' : SHOWN_TO_ALL
  return {
    ...Object.assign({}, ...Object.entries(object.metadata ?? {}).map(([name, value]) => metadata(name, value))),
    'content-type': mediaType,
    ...metadata(`${mark}${EXPORT_ID}`, marks.exportId),
    ...metadata(`${mark}${CONTENT_ID}`, marks.contentId)
  }
}

/** Swift keeps values as UTF-8; Node writes a header's characters as single bytes. */
const metadata = (name: string, value: string): Record<string, string> => ({
  [`x-object-meta-${name.toLowerCase()}`]: Buffer.from(value).toString('latin1')
})

/** When the object shall go, as Swift wants it. `from` is in milliseconds since 1970. */
export function expiryHeaders({ object }: UploadTarget, from: number): Record<string, string> {
  const seconds = object.delete_after_seconds
  return seconds === undefined ? {} : { 'x-delete-at': String(Math.ceil(from / 1000) + seconds) }
}

export type Present = Extract<Found, { status: 'present' }> & {
  readonly etag: string | undefined
  /** Whether it is a static large object. */
  readonly segmented: boolean
}

/** What the answer to a HEAD of an object tells. */
export function readPresent(headers: IncomingHttpHeaders): Present {
  const length = Number(headers['content-length'] ?? Number.NaN)
  const mark = (name: string) =>
    text(headers[`x-object-meta-${name}`] ?? headers[`x-object-meta-${SHOWN_TO_ALL}${name}`])
  return {
    status: 'present',
    length: Number.isSafeInteger(length) ? length : undefined,
    exportId: mark(EXPORT_ID),
    contentId: mark(CONTENT_ID),
    etag: headers.etag,
    segmented: /^true$/i.test(text(headers['x-static-large-object']) ?? '')
  }
}

const text = (value: string | string[] | undefined): string | undefined => (Array.isArray(value) ? value[0] : value)

/** An ETag as hex: without quotes, in lower case. */
export const bareEtag = (etag: string | undefined): string => (etag ?? '').replaceAll('"', '').toLowerCase()
