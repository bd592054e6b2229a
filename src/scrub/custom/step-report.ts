/** What a step says of itself; `note` is one line that can be printed. */
export type StepWords = { readonly files?: number; readonly note?: string }

const NOTE_CHARACTERS = 300

/**
 * What a step has printed: one JSON object, or nothing.
 * @returns undefined where it is neither
 */
export function wordsOf(stdout: Buffer): StepWords | undefined {
  const text = stdout.toString('utf8').trim()
  if (text === '') return {}
  try {
    const { files, note } = JSON.parse(text)
    const counted = Number.isSafeInteger(files) && files >= 0
    if ((files !== undefined && !counted) || (note !== undefined && typeof note !== 'string')) return undefined
    return { ...(counted && { files }), ...(note && { note: oneLine(note) }) }
  } catch {
    return undefined
  }
}

const oneLine = (text: string): string =>
  text
    .replace(/[\p{C}\p{Z}]+/gu, ' ')
    .trim()
    .slice(0, NOTE_CHARACTERS)
