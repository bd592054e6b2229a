import type { UploadTarget } from '../destination.ts'
import type { Situation } from '../situations.ts'

/** Names of the marks in the object's metadata, by which a HEAD can tell ours from another's. */
export const EXPORT_ID = 'glance-export-id'
export const CONTENT_ID = 'glance-export-content'

/** User-defined metadata, names and values together (AWS, "Working with object metadata"). */
const MAX_METADATA_BYTES = 2048
const METADATA_NAME = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/i
const METADATA_VALUE = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/
const MAX_TAGS = 10
/** AWS, "Categorizing your storage using tags". */
const TAG_KEY = /^[\p{L}\p{Z}\p{N}_.:/=+\-@]{1,128}$/u
const TAG_VALUE = /^[\p{L}\p{Z}\p{N}_.:/=+\-@]{0,256}$/u

type Options = Pick<UploadTarget, 'marks' | 'object'>

/** What S3 would refuse, and by which name of the user's it is known, where it is one. */
type WrongOption = { readonly situation: Situation; readonly it?: string | undefined }

/** What S3 would refuse of the options of an object, found before it is asked; undefined when nothing is wrong. */
export function wrongOption({ marks, object }: Options): WrongOption | undefined {
  const tags = Object.entries(object.tags ?? {})
  const tagsFit =
    tags.length <= MAX_TAGS && tags.every(([key, value]) => TAG_KEY.test(key) && TAG_VALUE.test(value) && !isAws(key))
  if (!tagsFit) return { situation: 'tagsInvalid' }
  const given = Object.entries(object.metadata ?? {})
  const names = new Set([EXPORT_ID, CONTENT_ID, ...given.map(([name]) => name.toLowerCase())])
  const bytes = Object.entries(metadataOf({ marks, object })).flat().join('').length
  const [wrong] = given.find(([name, value]) => !METADATA_NAME.test(name) || !METADATA_VALUE.test(value)) ?? []
  const metadataFits = wrong === undefined && bytes <= MAX_METADATA_BYTES && names.size === given.length + 2
  return metadataFits ? undefined : { situation: 'metadataInvalid', it: wrong }
}

const isAws = (key: string): boolean => key.toLowerCase().startsWith('aws:')

const metadataOf = ({ marks, object }: Options): Record<string, string> => ({
  ...object.metadata,
  [EXPORT_ID]: marks.exportId,
  [CONTENT_ID]: marks.contentId
})

/** The options as input of the command that creates the object. */
export function optionsInput({ marks, object, mediaType }: Options & Pick<UploadTarget, 'mediaType'>) {
  const { storage_class: StorageClass, tags } = object
  return {
    ContentType: mediaType,
    Metadata: metadataOf({ marks, object }),
    ...(StorageClass !== undefined && { StorageClass: StorageClass as 'STANDARD' }),
    ...(tags !== undefined && { Tagging: queryOf(tags) })
  }
}

const queryOf = (tags: Readonly<Record<string, string>>): string =>
  Object.entries(tags)
    .map(([key, value]) => `${encodeURIComponent(key)}=${encodeURIComponent(value)}`)
    .join('&')
