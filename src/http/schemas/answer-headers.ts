import type { TSchema } from 'typebox'

/** What an answer's headers say; for the API's document, which takes them out of the schema again. */
const HEADERS = {
  etag: { type: 'string', description: 'Of this answer, for If-None-Match and If-Match' },
  location: { type: 'string', description: 'Where to poll the task' },
  'retry-after': { type: 'integer', description: 'Seconds until it is worth asking again' },
  'www-authenticate': { type: 'string', description: 'Where to get a token' },
  'x-export-percent': { type: 'number', description: 'As `progress.percent`' },
  'preference-applied': { type: 'string', description: 'For how long the answer was held at most' },
  'idempotent-replayed': { type: 'string', description: '`true`: an equal request has made this task before' }
} as const

type Name = keyof typeof HEADERS

export const headersOf = (...names: readonly Name[]) => ({
  headers: Object.fromEntries(names.map((name) => [name, HEADERS[name]]))
})

/** The schema of an answer that has these headers too. */
export const withHeaders = <Schema extends TSchema>(schema: Schema, ...names: readonly Name[]): Schema => ({
  ...schema,
  ...headersOf(...names)
})
