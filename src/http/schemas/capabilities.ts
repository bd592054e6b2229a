import { type Static, Type } from 'typebox'
import { Nullable } from './common.ts'

const Names = (description: string) => Type.Array(Type.String(), { description })
const Bytes = (description: string) => Type.Integer({ minimum: 0, description })
const DefaultAndMaximum = (description: string) =>
  Type.Object({ default: Type.Integer(), maximum: Type.Integer() }, { description })
const Used = (description: string) =>
  Type.Object({ limit: Nullable(Type.Integer({ description: 'null: none' })), used: Type.Integer() }, { description })

const exportFormat = Type.Object({
  name: Type.String({ description: 'For export_format', examples: ['qcow2'] }),
  extension: Type.String(),
  media_type: Type.String(),
  max_virtual_bytes: Nullable(Bytes('The largest disk it holds when no option is given; null: any')),
  options: Type.Unsafe<Readonly<Record<string, unknown>>>({
    type: 'object',
    additionalProperties: { type: 'object' },
    description: 'For format_options: a JSON Schema each'
  })
})

const destination = Type.Object({
  schemes: Names('Of export_to'),
  anonymous: Type.Boolean({ description: 'Whether a request without credentials makes sense' }),
  credentials: Type.Array(
    Type.Object({
      kind: Type.String(),
      schema: Type.String({
        description: 'Where its JSON Schema is',
        examples: ['/v2/schemas/export-request#/$defs/CredentialsBasic']
      })
    })
  ),
  object_options: Names('Fields of object that it can carry out, besides key_template and if_exists')
})

export const Capabilities = Type.Object(
  {
    service: Type.Object({ name: Type.String(), versions: Names('Of the API, the current one first') }),
    source_formats: Names('Disk formats that images may have'),
    export_formats: Type.Array(exportFormat),
    destinations: Type.Array(destination),
    receiving_swift_container: Type.Boolean({ description: "Whether Rackspace's form of a request is taken" }),
    if_exists: Names('For object.if_exists'),
    checksums: Names('For checksums'),
    sidecars: Names('For sidecars'),
    verify: Names('For verify'),
    priorities: Names('For priority'),
    scrub: Type.Object(
      {
        profiles: Names('For scrub.profile'),
        default: Type.String({ description: 'Of a request that says nothing' }),
        minimum: Type.String({ description: 'What every export goes through at least' }),
        minimum_property: Type.String({ description: 'Property by which an image wants more than that' }),
        steps: Type.Array(
          Type.Object({
            id: Type.String({ description: 'For scrub.enable and scrub.disable' }),
            about: Type.String({ description: 'What goes' }),
            generalizes: Type.Boolean({ description: 'Whether the profile generalize has it' }),
            required: Type.Boolean({ description: 'Whether it cannot be switched off' })
          }),
          { description: 'In the order in which they are made' }
        ),
        on_unrecognized_os: Type.String({ description: 'When a request says nothing' }),
        secrets: Type.String({ description: 'What becomes of an export in whose guest secrets are found' })
      },
      { description: 'What can be taken out of an image on its way, and what has to be' }
    ),
    export_denied_by: Names('Images that are not exported: name=value of a property, of visibility or of owner'),
    limits: Type.Object({
      body_bytes: Bytes('Of a request in JSON'),
      json_depth: Type.Integer(),
      page: DefaultAndMaximum('Entries of a list'),
      image_bytes: Bytes('Of an image file'),
      virtual_bytes: Bytes('Of a disk'),
      attempts: DefaultAndMaximum('Of a task'),
      deadline_seconds: DefaultAndMaximum('From the creation of a task'),
      expires_after_seconds: DefaultAndMaximum('From the end of a task'),
      temp_url_seconds: DefaultAndMaximum('From the success of a task'),
      requests_per_minute: Type.Object(
        { reads: Nullable(Type.Integer()), writes: Nullable(Type.Integer()) },
        { description: 'Of one project; null: any number' }
      )
    }),
    quotas: Type.Object(
      {
        active_tasks: Used('Tasks that have not ended'),
        bytes_per_day: Used("Bytes of the last 24 hours' exports")
      },
      { description: "Of the caller's project" }
    )
  },
  { title: 'Capabilities', description: 'What this service can do, for the caller' }
)
export type Capabilities = Static<typeof Capabilities>
