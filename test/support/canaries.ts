import { randomBytes } from 'node:crypto'

export type Leak = { readonly form: string; readonly around: string }

/** Words that stand for secrets: unlike anything else, and found again in whatever clothes they wear. */
export class Canaries {
  /** With which every word begins. */
  readonly #mark = `Cn${randomBytes(16).toString('base64').replace(/[+/=]/g, '').slice(0, 14)}`
  readonly #needles: { readonly form: string; readonly bytes: Buffer }[] = formsOf(this.#mark)
  #count = 0

  /** A new word, 24 letters and digits. */
  word(): string {
    this.#count += 1
    return `${this.#mark}${String(this.#count).padStart(8, '0')}`
  }

  /** A secret whose text cannot be chosen, such as a key: `part` of it is looked for. */
  also(part: string): void {
    this.#needles.push(...formsOf(part))
  }

  in(text: string | Buffer): Leak[] {
    const bytes = typeof text === 'string' ? Buffer.from(text) : text
    return this.#needles.flatMap(({ form, bytes: needle }) => {
      const at = bytes.indexOf(needle)
      return at < 0 ? [] : [{ form, around: bytes.subarray(Math.max(0, at - 100), at + 100).toString('latin1') }]
    })
  }
}

/** As it is, which is also how it looks in JSON, XML and URLs, and as what programs turn secrets into. */
function formsOf(word: string): { form: string; bytes: Buffer }[] {
  const bytes = Buffer.from(word)
  const hex = bytes.toString('hex')
  const percent = hex.replace(/../g, '%$&')
  const forms: [string, string | Buffer][] = [
    ['as it is', bytes],
    ['hex', hex],
    ['HEX', hex.toUpperCase()],
    ['percent', percent],
    ['PERCENT', percent.toUpperCase()],
    ['UTF-16', Buffer.from(word, 'utf16le')]
  ]
  // In base64 a text looks otherwise at every place of three; the letters at its ends depend on its neighbours.
  for (const before of [0, 1, 2]) {
    const encoded = Buffer.concat([Buffer.alloc(before), bytes])
      .toString('base64')
      .replace(/=+$/, '')
    forms.push([`base64 +${before}`, encoded.slice(before === 0 ? 0 : 4, -4)])
  }
  return forms.map(([form, text]) => ({ form, bytes: Buffer.from(text) }))
}
