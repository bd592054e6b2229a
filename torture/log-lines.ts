import { createReadStream } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

/** How often the processes have said what, warnings and worse; all that is not one of their log's lines is counted together. */
export async function logLines(folder: string): Promise<ReadonlyMap<string, number>> {
  const said = new Map<string, number>()
  for (const name of await readdir(folder)) {
    for await (const text of createInterface({ input: createReadStream(join(folder, name)) })) {
      const message = warning(text)
      if (message !== undefined) said.set(message, (said.get(message) ?? 0) + 1)
    }
  }
  return new Map([...said].sort(([, one], [, other]) => other - one))
}

const WARN = 40

function warning(text: string): string | undefined {
  try {
    const { level, msg } = Object(JSON.parse(text)) as { level?: number; msg?: string }
    return level !== undefined && level >= WARN ? String(msg) : undefined
  } catch {
    return 'other output'
  }
}
