import type { ByteSource } from '../../domain/bytes.ts'

/** The body as UTF-8, if it has at most `maxBytes`; undefined, and the rest unread, if it has more. */
export async function textOf(body: ByteSource, maxBytes: number): Promise<string | undefined> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of body) {
    bytes += chunk.length
    if (bytes > maxBytes) return undefined
    chunks.push(Buffer.from(chunk))
  }
  return Buffer.concat(chunks).toString()
}

/** What JSON text says; an empty object for anything else. Whoever reads it takes every field as optional. */
export function jsonIn(text: string): object {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? value : {}
  } catch {
    return {}
  }
}
