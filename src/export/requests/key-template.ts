import { parseTarget } from '../../destinations/target.ts'
import { DestinationInvalid } from '../../domain/destination-errors.ts'
import { KeyTemplateInvalid } from '../../domain/export-errors.ts'

/** What the placeholders of a template stand for, as text of any kind. */
export type KeyValues = {
  readonly export_id: string
  readonly task_id: string
  readonly image_id: string
  readonly image_name: string
  readonly format: string
  /** Of the file, without the dot. */
  readonly ext: string
  /** `YYYY-MM-DD`, UTC. */
  readonly date: string
  /** `YYYYMMDDTHHMMSSZ`. */
  readonly timestamp: string
}

/** Of UTF-8, the name below `export_to`: what S3 and Swift take at most. */
const MAX_KEY_BYTES = 1024
/** Of one value, so that one long image name leaves room for the rest. */
const MAX_VALUE_BYTES = 128

/**
 * The URL of the object that a template names below `place`. Literal text of the template may have slashes; a value never
 * makes one, whatever an image is called.
 * @throws KeyTemplateInvalid
 */
export function objectUrlOf(place: URL, template: string, values: KeyValues): URL {
  const known = Object.keys(values).map((name) => `{${name}}`)
  const key = template.replaceAll(/\{([^{}]*)\}/g, (_all, name: string) => {
    if (!Object.hasOwn(values, name)) throw new KeyTemplateInvalid(`the placeholders are ${known.join(', ')}`)
    return safeValue(values[name as keyof KeyValues])
  })
  if (/[{}\\]|\p{C}/u.test(key))
    throw new KeyTemplateInvalid('braces, backslashes and control characters are not allowed')
  if (key.endsWith('/')) throw new KeyTemplateInvalid('it may not end with a slash')
  if (Buffer.byteLength(key) > MAX_KEY_BYTES) {
    throw new KeyTemplateInvalid(`with its values it is longer than ${MAX_KEY_BYTES} bytes`)
  }
  const path = `${place.pathname.replace(/\/$/, '')}/${key.split('/').map(encodeURIComponent).join('/')}`
  try {
    parseTarget(`https://any.example${path}`)
  } catch (error) {
    if (error instanceof DestinationInvalid)
      throw new KeyTemplateInvalid(error.message.replace(/^export_to: |\.$/g, ''))
    throw error
  }
  const url = new URL(place)
  url.pathname = path
  return url
}

export const timesOf = (now: Date): Pick<KeyValues, 'date' | 'timestamp'> => ({
  date: now.toISOString().slice(0, 10),
  timestamp: `${now.toISOString().slice(0, 19).replaceAll(/[-:]/g, '')}Z`
})

/** Letters, digits and a few marks of any script; all else would be a separator, or mean something, somewhere. */
function safeValue(value: string): string {
  const plain = value
    .normalize('NFC')
    .replaceAll(/[^\p{L}\p{M}\p{N}._+=@,()~-]+/gu, '-')
    .replace(/^\.+/, '_')
  let bytes = 0
  const kept = [...plain].filter((character) => {
    bytes += Buffer.byteLength(character)
    return bytes <= MAX_VALUE_BYTES
  })
  return kept.join('') || '_'
}

/** The URL with `-n` before the extension of its last segment; itself for 0. */
export function withSuffix(url: URL, suffix: number): URL {
  const other = new URL(url)
  if (suffix === 0) return other
  const [, stem, extension = ''] = /^(.*\/[^/]+?)(\.[^./]+)?$/.exec(url.pathname) ?? []
  other.pathname = `${stem ?? url.pathname}-${suffix}${extension}`
  return other
}

/** The URL of a small object beside the one at `url`. */
export function besideIt(url: URL, ending: string): URL {
  const other = new URL(url)
  other.pathname += ending
  return other
}
