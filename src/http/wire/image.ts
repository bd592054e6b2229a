import type { Static } from 'typebox'
import { imageId } from '../../domain/ids.ts'
import type { Image } from '../../domain/image.ts'
import type { ImageFields } from '../../library/ports.ts'
import { RequestRefused } from '../requests/request-refused.ts'
import type { ImageAnswer, ImageBody, ImageDocument } from '../schemas/image.ts'
import { toWireTime } from './time.ts'

const DEFAULTS: ImageDocument = {
  name: null,
  disk_format: null,
  container_format: null,
  visibility: 'private',
  protected: false,
  min_disk: 0,
  min_ram: 0,
  tags: []
}

/** Properties that only the service sets, or that Glance keeps for itself. */
const READ_ONLY = new Set(
  `id owner status size virtual_size checksum os_hash_algo os_hash_value created_at updated_at deleted deleted_at self file
   schema locations direct_url stores os_hidden __proto__`.split(/\s+/)
)
export const isReadOnly = (property: string): boolean => READ_ONLY.has(property) || property.startsWith('os_glance_')
export const isBase = (property: string): boolean => Object.hasOwn(DEFAULTS, property)

export const readOnly = (property: string): RequestRefused =>
  new RequestRefused(403, `Attribute '${property.slice(0, 64)}' is read-only.`)

/** @throws RequestRefused 403 for a property that clients may not set */
export function newImageFromWire({ id, ...body }: ImageBody): ImageFields & { readonly id?: Image['id'] } {
  const refused = Object.keys(body).find(isReadOnly)
  if (refused !== undefined) throw readOnly(refused)
  return { ...fieldsFromWire({ ...DEFAULTS, ...body }), ...(id !== undefined && { id: imageId(id) }) }
}

export const fieldsFromWire = ({
  name,
  disk_format,
  container_format,
  visibility,
  protected: isProtected,
  min_disk,
  min_ram,
  tags,
  ...properties
}: ImageDocument): ImageFields => ({
  name,
  diskFormat: disk_format,
  containerFormat: container_format,
  visibility,
  protected: isProtected,
  minDisk: min_disk,
  minRam: min_ram,
  tags,
  properties: properties as Record<string, string> // the schema allows nothing else
})

/** The part of an image that a client may change, flat as it is on the wire. */
export const imageDocument = (image: Image): ImageDocument => ({
  ...image.properties,
  name: image.name,
  disk_format: image.diskFormat,
  container_format: image.containerFormat,
  visibility: image.visibility,
  protected: image.protected,
  min_disk: image.minDisk,
  min_ram: image.minRam,
  tags: [...image.tags]
})

export const imageToWire = (image: Image): Static<typeof ImageAnswer> & Record<string, unknown> => ({
  ...imageDocument(image),
  id: image.id,
  name: image.name,
  status: image.status,
  visibility: image.visibility,
  protected: image.protected,
  tags: [...image.tags],
  disk_format: image.diskFormat,
  container_format: image.containerFormat,
  size: image.size,
  virtual_size: image.virtualSize,
  checksum: image.checksum,
  os_hash_algo: image.sha512 === null ? null : 'sha512',
  os_hash_value: image.sha512,
  min_disk: image.minDisk,
  min_ram: image.minRam,
  owner: image.owner,
  created_at: toWireTime(image.createdAt),
  updated_at: toWireTime(image.updatedAt),
  self: `/v2/images/${image.id}`,
  file: `/v2/images/${image.id}/file`,
  schema: '/v2/schemas/image'
})
