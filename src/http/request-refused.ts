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

const MAX_NAMED = 10

/** 400 that names every violation; past ten, how many more there are. */
export function invalidRequest(violations: readonly Violation[]): RequestRefused {
  const named = violations.slice(0, MAX_NAMED)
  const more = violations.length - named.length
  const text = named.map(({ pointer, message }) => `${fieldName(pointer)} ${message}`).join('; ')
  return new RequestRefused(400, more > 0 ? `${text}; and ${more} more` : text, { violations: named })
}

const fieldName = (pointer: string): string => pointer.replace(/^\//, '').replaceAll('/', '.') || 'The body'
