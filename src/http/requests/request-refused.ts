/** One thing wrong with a request. `pointer` is a JSON Pointer into the body or the name of a query parameter. */
export type Violation = { readonly pointer: string; readonly message: string }

/** A request that is refused before a use case sees it. The message is shown to the client and repeats no value of the request. */
export class RequestRefused extends Error {
  override readonly name = 'RequestRefused'
  readonly status: number
  readonly violations: readonly Violation[]
  /** Of the answer, besides those that every answer has. */
  readonly headers: Readonly<Record<string, string>>

  constructor(
    status: number,
    message: string,
    more: { violations?: readonly Violation[]; headers?: Readonly<Record<string, string>> } = {}
  ) {
    super(message)
    this.status = status
    this.violations = more.violations ?? []
    this.headers = more.headers ?? {}
  }
}

/** For people, and for programs: what is longer is nobody's mistake. */
const MAX_TOLD = 10
const MAX_LISTED = 200

/** 400 that lists every violation; its sentence names ten of them and says how many more there are. */
export function invalidRequest(violations: readonly Violation[]): RequestRefused {
  const told = violations.slice(0, MAX_TOLD)
  const more = violations.length - told.length
  const text = told.map(({ pointer, message }) => `${fieldName(pointer)} ${message}`).join('; ')
  return new RequestRefused(400, more > 0 ? `${text}; and ${more} more` : text, {
    violations: violations.slice(0, MAX_LISTED)
  })
}

const fieldName = (pointer: string): string => pointer.replace(/^\//, '').replaceAll('/', '.') || 'The body'
