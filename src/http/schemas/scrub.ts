import { Type } from 'typebox'
import type { ScrubOptions } from '../../domain/export-options.ts'
import { SCRUB_PROFILES, SCRUB_STAGES } from '../../domain/scrub-report.ts'
import { OneOf } from './common.ts'

const MAX_STEPS = 64

const stepIds = (description: string) =>
  Type.Array(
    Type.String({ pattern: '^[a-z0-9-]{1,64}$', description: 'id of a step, as /v2/capabilities lists them' }),
    { uniqueItems: true, maxItems: MAX_STEPS, description }
  )

/** What a request says of a scrub, and its task repeats. */
type Asked = Omit<ScrubOptions, 'keyed'>

const asked = {
  profile: Type.Optional(
    OneOf(
      SCRUB_PROFILES,
      'none and metadata: files stay as they are; generalize: what ties the guest to its past goes, and deleted data with it; custom: only the steps in enable. When left out, as the operator has it'
    )
  ),
  enable: Type.Optional(stepIds("Steps besides the profile's")),
  disable: Type.Optional(stepIds('Steps of the profile that are not to be made')),
  on_unrecognized_os: Type.Optional(
    OneOf(['fail', 'skip'], "Where the guest's files cannot be changed: fail, or export them as they are")
  )
}
const about = { additionalProperties: false, description: 'What is to be taken out of the image on its way' }

/** The bytes of a passphrase, as cryptsetup takes them from a keyboard: at most 512. */
const diskKey = Type.Optional(
  Type.String({
    pattern: '^[^\\p{Cc}]{1,512}$',
    description: 'a passphrase of 1 to 512 characters without control characters',
    title: "Opens the guest's encryption (LUKS). Sealed at once, never returned, wiped when the task ends",
    writeOnly: true
  })
)

/** `scrub` of a request. */
export const scrubOptions = Type.Unsafe<Asked & { readonly disk_key?: string }>(
  Type.Object({ ...asked, disk_key: diskKey }, about)
)

/** `scrub` of a task. */
export const scrubAsked = Type.Unsafe<Asked>(Type.Object(asked, about))

/** `scrub` of a retry. */
export const scrubAgain = Type.Unsafe<{ readonly disk_key?: string }>(
  Type.Object(
    { disk_key: diskKey },
    { additionalProperties: false, description: 'The disk key, if the failed task had one, or for want of one' }
  )
)

const Bytes = (description: string) => Type.Integer({ minimum: 0, description })

/** How far a scrub is. */
export const scrubProgress = Type.Object(
  {
    step: Type.String({
      description: `What it is at: the id of a step, custom/ and the name of a step of the operator's, or ${SCRUB_STAGES.join(', ')}`,
      examples: ['logs']
    }),
    done: Type.Integer({ minimum: 0, description: 'What is behind it; in one attempt it never goes back' }),
    of: Type.Integer({ minimum: 1, description: 'All that is to be done' })
  },
  { description: 'What a scrub is at; null in every other phase' }
)

/** What a scrub has done. */
export const scrubReport = Type.Object(
  {
    profile: OneOf(SCRUB_PROFILES, 'What the export went through'),
    guest: Type.Object({
      kind: OneOf(['linux', 'other', 'unknown'], 'What was found on the disk'),
      name: Type.Optional(Type.String())
    }),
    path: OneOf(['none', 'fast', 'appliance'], "How the guest's files were changed"),
    steps: Type.Array(
      Type.Object({
        id: Type.String(),
        changed: Type.Boolean(),
        files: Type.Integer({ description: 'Removed, emptied or written' }),
        bytes: Bytes('Of the files that were removed or emptied'),
        skipped: Type.Optional(Type.String({ description: 'Why it did nothing' }))
      })
    ),
    kept: Type.Array(Type.Object({ id: Type.String(), why: Type.String() }), {
      description: 'Steps that were not made'
    }),
    secrets: Type.Array(Type.Object({ rule: Type.String(), path: Type.String() }), {
      description: 'Secrets that were found and are still there, at most 100: what and where, never what they say'
    }),
    partitions: Type.Array(
      Type.Object({
        offset: Bytes('Where it begins on the disk'),
        bytes: Bytes('Its size'),
        file_system: Type.String(),
        free_bytes: Bytes('That no file needs: zeros in what was written'),
        why: Type.Optional(Type.String({ description: 'Why nothing of it was dropped' })),
        files_left: Type.Optional(Type.String({ description: 'Why its files were left as they are' }))
      })
    ),
    freed_bytes: Bytes('Of the disk, that no longer leave as nobody uses them'),
    overlay_bytes: Bytes('That the changes took on the worker while the export ran; what was made zeros takes none'),
    digest: Type.String({ description: 'Of the changes: with the same one the same disk was written' }),
    tools: Type.Unsafe<Readonly<Record<string, string>>>({
      type: 'object',
      additionalProperties: { type: 'string' },
      description: 'Versions by name'
    }),
    seconds: Type.Number(),
    custom: Type.Optional(
      Type.Array(
        Type.Object({
          id: Type.String(),
          exit_code: Type.Integer(),
          files: Type.Optional(Type.Integer()),
          note: Type.Optional(Type.String())
        }),
        { description: "The operator's own steps" }
      )
    )
  },
  { description: 'What was taken out of the image, and what was left' }
)
