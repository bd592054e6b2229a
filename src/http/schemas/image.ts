import { type Static, type TSchema, Type } from 'typebox'
import { Nullable, OneOf, PageQuery, Time, Uuid } from './common.ts'

/** An image here is the bare file of a disk. */
export const CONTAINER_FORMATS = ['bare'] as const
export const VISIBILITIES = ['private', 'public'] as const
const SORT_KEYS = [
  'created_at',
  'updated_at',
  'name',
  'status',
  'id',
  'size',
  'disk_format',
  'container_format'
] as const

const customProperty = Type.String({ maxLength: 65_535 })
const int32 = { minimum: 0, maximum: 2_147_483_647 }

const base = (diskFormats: readonly string[]) => ({
  name: nullable({ type: 'string', maxLength: 255 }, 'A name to tell it by'),
  disk_format: nullable({ enum: diskFormats }, 'Format of the file; fixed once there is data'),
  container_format: nullable({ enum: CONTAINER_FORMATS }, 'What is around the disk'),
  visibility: OneOf(VISIBILITIES, 'Who sees it besides its owner'),
  protected: Type.Boolean({ description: 'Keeps it from deletion' }),
  min_disk: Type.Integer({ ...int32, description: 'GiB of disk that a machine needs' }),
  min_ram: Type.Integer({ ...int32, description: 'MiB of memory that a machine needs' }),
  tags: Type.Array(Type.String({ maxLength: 255 }), { maxItems: 128, uniqueItems: true })
})

/** A value or null, in one schema so that an error is one sentence. */
const nullable = (schema: { type?: string; enum?: readonly string[]; maxLength?: number }, description: string) =>
  Type.Unsafe<string | null>({
    ...schema,
    type: ['string', 'null'],
    ...(schema.enum && { enum: [...schema.enum, null] }),
    description
  })

/** What a client may write: these fields, and any other name as a custom property. `diskFormats` are those we can read. */
export function imageRequestSchemas(diskFormats: readonly string[]) {
  const fields = base(diskFormats)
  const custom = { additionalProperties: customProperty, propertyNames: { maxLength: 255, minLength: 1 } }
  const create = Type.Object(
    { id: Type.Optional(Uuid('An id of the own choice')), ...optional(fields) },
    {
      ...custom,
      title: 'NewImage',
      examples: [{ name: 'web-01', disk_format: 'raw', container_format: 'bare' }]
    }
  )
  return { create: Type.Unsafe<ImageBody>(create), document: Type.Object(fields, custom) }
}
export type ImageSchemas = ReturnType<typeof imageRequestSchemas>

type Fields = Static<ReturnType<typeof Type.Object<ReturnType<typeof base>>>>
/** The fields of an image that a client may write, with its custom properties beside them. */
export type ImageDocument = Fields & { [property: string]: unknown }
export type ImageBody = Partial<Fields> & { id?: string; [property: string]: unknown }

const optional = <T extends Record<string, TSchema>>(fields: T) =>
  Object.fromEntries(Object.entries(fields).map(([name, schema]) => [name, Type.Optional(schema)]))

/** One image, as Glance describes images. */
export const ImageAnswer = Type.Object(
  {
    id: Uuid('Id of the image'),
    name: Nullable(Type.String()),
    status: OneOf(['queued', 'saving', 'active', 'killed'], 'active: it has its data'),
    visibility: OneOf(VISIBILITIES, 'Who sees it besides its owner'),
    protected: Type.Boolean(),
    tags: Type.Array(Type.String()),
    disk_format: Nullable(Type.String()),
    container_format: Nullable(Type.String()),
    size: Nullable(Type.Integer({ description: 'Bytes of the file' })),
    virtual_size: Nullable(Type.Integer({ description: 'Bytes of the disk in it' })),
    checksum: Nullable(Type.String({ description: 'MD5 of the file, lower-case hex' })),
    os_hash_algo: Nullable(Type.String({ description: 'Always sha512' })),
    os_hash_value: Nullable(Type.String({ description: 'Of the file, lower-case hex' })),
    min_disk: Type.Integer(),
    min_ram: Type.Integer(),
    owner: Type.String(),
    created_at: Time('When the image was created'),
    updated_at: Time('When the image changed last'),
    self: Type.String(),
    file: Type.String({ description: 'Path of the data' }),
    schema: Type.String()
  },
  {
    title: 'Image',
    description: 'An image, with its custom properties beside its fields',
    additionalProperties: Type.String({ description: 'A custom property' })
  }
)

export const ImageList = Type.Object(
  {
    images: Type.Array(ImageAnswer),
    first: Type.String({ description: 'Path of the first page' }),
    next: Type.Optional(Type.String({ description: 'Path of the next page; absent on the last' })),
    schema: Type.String()
  },
  { title: 'ImageList', description: 'One page of images' }
)

export const ImageListQuery = Type.Object({
  ...PageQuery,
  sort_key: Type.Optional(OneOf(SORT_KEYS, 'What to order by; created_at if left out')),
  sort: Type.Optional(
    Type.String({
      pattern: `^(${SORT_KEYS.join('|')})(:(asc|desc))?$`,
      maxLength: 40,
      description: 'one sort key, with :asc or :desc behind it if wanted'
    })
  ),
  name: Type.Optional(Type.String({ maxLength: 255, description: 'Images of this name' })),
  status: Type.Optional(Type.String({ maxLength: 30, description: 'Images in this status' })),
  visibility: Type.Optional(Type.String({ maxLength: 30, description: 'Images of this visibility' })),
  owner: Type.Optional(Type.String({ maxLength: 64, description: 'Images of this project' }))
})
export type ImageListQuery = Static<typeof ImageListQuery>

export const PatchRequest = Type.Array(
  Type.Object(
    {
      op: OneOf(['add', 'replace', 'remove'], 'What to do'),
      path: Type.String({ pattern: '^/[^/]+$', maxLength: 600, description: 'the path of one property, /name' }),
      value: Type.Optional(Type.Unknown())
    },
    { additionalProperties: false }
  ),
  { title: 'ImagePatch', maxItems: 256, examples: [[{ op: 'replace', path: '/name', value: 'web-02' }]] }
)
export type PatchRequest = Static<typeof PatchRequest>
