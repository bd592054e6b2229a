import { RequestRefused } from './request-refused.ts'

export const MAX_DEPTH = 32
/** In the whole body. */
const MAX_NAMES = 1000
const utf8 = () => new TextDecoder('utf-8', { fatal: true })

/** Of valid JSON: strings and the marks that open, close and part things; the rest cannot hold any of them. */
const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]/g

/**
 * JSON from outside (RFC 8259), without what would be read differently further in: bytes that are no UTF-8, names that occur
 * twice (RFC 8259 section 4), `__proto__`, NUL and lone surrogates (Postgres takes neither), and more than 32 levels or 1000 names.
 * @throws RequestRefused 400
 */
export function parseStrictJson(bytes: Buffer): unknown {
  if (bytes.length === 0) throw new RequestRefused(400, 'Body expected in request.')
  const { text, value } = parse(bytes)
  refuseUnsafe(text)
  return value
}

function parse(bytes: Buffer): { text: string; value: unknown } {
  try {
    const text = utf8().decode(bytes)
    return { text, value: JSON.parse(text) }
  } catch {
    throw new RequestRefused(400, 'Malformed JSON in request body.')
  }
}

/** A walk over the tokens instead of the value: the value has lost repeated names, and recursion can be made to overflow. */
function refuseUnsafe(text: string): void {
  const open: (Set<string> | null)[] = [] // names seen in each open object; null for an array
  let nameExpected = false
  let named = 0
  for (const [token] of text.matchAll(TOKEN)) {
    if (token === '{' || token === '[') {
      open.push(token === '{' ? new Set() : null)
      if (open.length > MAX_DEPTH) throw new RequestRefused(400, `The body is nested deeper than ${MAX_DEPTH} levels.`)
      nameExpected = token === '{'
    } else if (token === '}' || token === ']') {
      open.pop()
      nameExpected = false
    } else if (token === ',') {
      nameExpected = open.at(-1) instanceof Set
    } else if (token.startsWith('"')) {
      const string = readString(token)
      const names = open.at(-1)
      if (nameExpected && names) {
        addName(names, string)
        if (++named > MAX_NAMES) throw new RequestRefused(400, `The body has more than ${MAX_NAMES} fields.`)
      }
      nameExpected = false
    }
  }
}

function readString(token: string): string {
  const string = JSON.parse(token) as string
  if (string.includes('\0')) throw new RequestRefused(400, 'The body holds the character U+0000, which is not allowed.')
  if (!string.isWellFormed()) throw new RequestRefused(400, 'The body holds half of a surrogate pair.')
  return string
}

function addName(names: Set<string>, name: string): void {
  if (name === '__proto__') throw new RequestRefused(400, 'The field __proto__ is not allowed.')
  if (names.has(name)) throw new RequestRefused(400, `The field ${name.slice(0, 64)} occurs twice.`)
  names.add(name)
}
