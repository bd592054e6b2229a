import { type Static, Type } from 'typebox'
import { Nullable, OneOf } from './common.ts'

const check = Type.Object({
  id: Type.String({ examples: ['dest.auth'] }),
  ok: Type.Boolean(),
  skipped: Type.Optional(
    Type.Boolean({ description: 'Not asked: it does not apply, or (not ok) something that it rests on has failed' })
  ),
  code: Type.Optional(Type.String({ description: 'Of the failure, or of a warning where it is ok' })),
  message: Type.Optional(Type.String({ description: 'What is wrong, and what to do' })),
  hint: Type.Optional(Type.String({ description: 'The part of the message that says what to do' })),
  actor: Type.Optional(OneOf(['user', 'destination', 'operator'], 'Who has to act')),
  detail: Type.Optional(Type.Object({}, { additionalProperties: true, description: 'Facts found on the way' }))
})

export const PreflightAnswer = Type.Object(
  {
    ok: Type.Boolean({ description: 'Whether an export would begin well now' }),
    duration_ms: Type.Integer(),
    checks: Type.Array(check),
    estimate: Nullable(
      Type.Object({
        bytes_min: Type.Integer({ description: 'Size of the object; exact when it equals bytes_max' }),
        bytes_max: Type.Integer(),
        seconds: Type.Integer({ description: 'For bytes_max' }),
        basis: Type.String({ description: 'What the seconds rest on' })
      })
    )
  },
  { title: 'Preflight', description: 'What was checked before an export, in order' }
)
export type PreflightAnswer = Static<typeof PreflightAnswer>
