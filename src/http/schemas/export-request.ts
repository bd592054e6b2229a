import { type Static, type TSchema, Type } from 'typebox'
import type { Credentials } from '../../destinations/destination.ts'
import type { FormatOptions } from '../../domain/task.ts'
import { requestTokenSchemas } from '../requests/request-token.ts'
import { OneOf, Uuid } from './common.ts'
import { clientToken, exportOptions, taskLabels } from './export-options.ts'

const TASK_TYPE = 'export'
const EXAMPLE_IMAGE = 'deadbeef-dead-dead-dead-beefbeefbeef'
const EXAMPLE = { export_to: 'https://upload.example.com/images', export_format: 'qcow2' }
const FLAT_EXAMPLE = { task_type: TASK_TYPE, image_uuid: EXAMPLE_IMAGE, ...EXAMPLE }
const GLANCE_EXAMPLE = { type: TASK_TYPE, input: { image_uuid: EXAMPLE_IMAGE, ...EXAMPLE } }
const RACKSPACE_EXAMPLE = {
  type: TASK_TYPE,
  input: { image_uuid: EXAMPLE_IMAGE, receiving_swift_container: 'exports' }
}
const closed = { additionalProperties: false }

/** What any format takes; which takes what, the formats say themselves. */
const formatOptions = Type.Object(
  {
    compression: Type.Optional(OneOf(['none', 'zlib', 'zstd'], 'For qcow2; none when left out')),
    level: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 19, description: 'Of the compression; higher is smaller' })
    ),
    cluster_size: Type.Optional(Type.Integer({ minimum: 512, maximum: 2097152, description: 'For qcow2, in bytes' })),
    subformat: Type.Optional(
      OneOf(
        ['dynamic', 'fixed', 'monolithicSparse', 'streamOptimized'],
        'For vhd: dynamic when left out; for vmdk: streamOptimized'
      )
    )
  },
  { ...closed, description: 'How the format is written; what is left out is its default' }
)

/**
 * Bodies that create an export task. `formats` are names of formats, `credentialSchemas` those of all destinations, each an
 * object told from the others by its constant `kind`. Source: Glance-tasks-export, "Export Task Request Properties".
 */
export function exportRequestSchemas(formats: readonly string[], credentialSchemas: readonly TSchema[]) {
  const exportToCredentials = credentials(credentialSchemas)
  const what = {
    export_to: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 10_241,
        description:
          'URL to write to; the object gets a new UUID as its name below it. A pre-signed URL is the whole URL of the object, and its query is kept secret. When left out, tempurl: the service gives a URL to download from',
        examples: ['s3://bucket/path']
      })
    ),
    export_format: OneOf(formats, 'Disk format to write'),
    format_options: Type.Optional(formatOptions),
    export_to_credentials: Type.Optional(exportToCredentials),
    ...exportOptions,
    ...taskLabels,
    client_token: clientToken
  }
  const taskType = Type.Literal(TASK_TYPE, { description: 'Kind of task' })

  const flat = Type.Object(
    { task_type: taskType, image_uuid: Uuid('The image to export'), ...what },
    {
      ...closed,
      title: 'ExportRequest',
      description: 'The form of the specification',
      examples: [FLAT_EXAMPLE],
      'x-marked-by': ['task_type']
    }
  )
  const glance = Type.Object(
    {
      type: taskType,
      input: Type.Object(
        {
          image_uuid: Type.Optional(Uuid('The image to export')),
          image_id: Type.Optional(Uuid('Another name of image_uuid; one of the two is required')),
          ...what
        },
        { ...closed, oneOf: [{ required: ['image_uuid'] }, { required: ['image_id'] }] }
      )
    },
    {
      ...closed,
      title: 'GlanceTaskRequest',
      description: "Glance's form",
      examples: [GLANCE_EXAMPLE],
      'x-marked-by': ['type', 'input']
    }
  )
  const rackspace = Type.Object(
    {
      type: taskType,
      input: Type.Object(
        {
          image_uuid: Uuid('The image to export'),
          receiving_swift_container: Type.String({
            pattern: '^[^/?.\\p{Cc}]{1,247}$',
            description: 'the name of a container: 1 to 247 characters without slash, question mark and dot',
            title: "A container of the project's own Swift account; the object there is <image_uuid>.vhd"
          }),
          client_token: clientToken
        },
        closed
      )
    },
    {
      ...closed,
      title: 'RackspaceExportRequest',
      description: 'The form of Rackspace Cloud Images, where the operator has set a Swift for it',
      examples: [RACKSPACE_EXAMPLE],
      'x-marked-by': ['input/receiving_swift_container']
    }
  )
  const ofImage = Type.Object(
    { task_type: Type.Optional(taskType), image_uuid: Type.Optional(Uuid('The image of the path')), ...what },
    {
      ...closed,
      title: 'ImageExportRequest',
      description: 'As ExportRequest; the path names the image',
      examples: [EXAMPLE]
    }
  )
  return {
    task: Type.Unsafe<TaskBody>({
      anyOf: [flat, rackspace, glance],
      examples: [FLAT_EXAMPLE, GLANCE_EXAMPLE, RACKSPACE_EXAMPLE]
    }),
    ofImage,
    credentials: exportToCredentials
  }
}

export type ExportSchemas = ReturnType<typeof exportRequestSchemas>

/** The additions to the specification's fields. */
export type OptionFields = Static<ReturnType<typeof Type.Object<typeof exportOptions>>>
export type LabelFields = Static<ReturnType<typeof Type.Object<typeof taskLabels>>>

type Repeatable = { client_token?: string }
type What = OptionFields &
  LabelFields &
  Repeatable & {
    export_to?: string
    export_format: string
    format_options?: FormatOptions
    export_to_credentials?: Credentials
  }
export type FlatBody = What & { task_type: typeof TASK_TYPE; image_uuid: string }
export type GlanceBody = { type: typeof TASK_TYPE; input: What & { image_uuid?: string; image_id?: string } }
export type RackspaceBody = {
  type: typeof TASK_TYPE
  input: Repeatable & { image_uuid: string; receiving_swift_container: string }
}
export type TaskBody = FlatBody | GlanceBody | RackspaceBody

const credentials = (schemas: readonly TSchema[]) =>
  Type.Unsafe<Credentials>({
    type: 'object',
    description: 'What the destination asks for. Sealed at once, never returned, wiped when the task ends.',
    required: ['kind'],
    discriminator: { propertyName: 'kind' },
    oneOf: oneEachKind([...schemas, ...requestTokenSchemas(schemas)])
  })

/** Kinds that several destinations share are one alternative; ajv wants each to be told from the others. */
function oneEachKind(schemas: readonly TSchema[]): TSchema[] {
  const byKind = new Map<unknown, TSchema>()
  for (const schema of schemas) {
    const kind = (schema as { properties?: { kind?: { const?: unknown } } }).properties?.kind?.const
    const known = byKind.get(kind)
    if (known && JSON.stringify(known) !== JSON.stringify(schema)) {
      throw new Error(`two destinations have different credentials of the kind ${kind}`)
    }
    byKind.set(kind, schema)
  }
  return [...byKind].map(([kind, schema]) => ({ ...schema, title: credentialsTitle(String(kind)) }))
}

/** The name of the schema of a kind of credentials, in the API's document and in that of requests. */
export const credentialsTitle = (kind: string): string => `Credentials${pascalCase(kind)}`

const pascalCase = (name: string): string =>
  name.replaceAll(/(?:^|_)([a-z0-9])/g, (_all, letter) => letter.toUpperCase())
