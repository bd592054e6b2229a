import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { open, readFile, stat } from 'node:fs/promises'

export const KEY_BYTES = 32

/** Key-encryption keys by id. New tasks are sealed with `current`; the others still open what was sealed with them. */
export type Keys = { readonly current: string; readonly byId: ReadonlyMap<string, Buffer> }

/** The key file is missing, readable by others, or not what it should be. */
export class KeyFileInvalid extends Error {
  override readonly name = 'KeyFileInvalid'
}

/**
 * Reads a key file: `{"current": "<id>", "keys": {"<id>": "<32 bytes as base64>"}}`, mode 0600.
 * To rotate, add a key, make it current, and keep the old one until no task is left that was sealed with it.
 * @throws KeyFileInvalid, without any of the file's content in the message
 */
export async function readKeys(path: string): Promise<Keys> {
  const { mode } = await stat(path).catch((cause: Error) => {
    throw new KeyFileInvalid(`KEK_FILE cannot be read: ${path} is missing or not accessible`, { cause })
  })
  if ((mode & 0o077) !== 0) throw new KeyFileInvalid(`KEK_FILE may be readable by its owner only: chmod 600 ${path}`)
  return parseKeys(await readFile(path, 'utf8'))
}

/** As readKeys; makes the file with one new key when there is none. */
export async function readOrMakeKeys(path: string): Promise<Keys> {
  const content = { current: 'k1', keys: { k1: randomBytes(KEY_BYTES).toString('base64') } }
  try {
    await using file = await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600)
    await file.writeFile(`${JSON.stringify(content)}\n`)
    await file.sync()
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
  }
  return readKeys(path)
}

function parseKeys(text: string): Keys {
  const invalid = () =>
    new KeyFileInvalid('KEK_FILE must hold {"current": "<id>", "keys": {"<id>": "<32 bytes as base64>"}}')
  let content: unknown
  try {
    content = JSON.parse(text)
  } catch {
    throw invalid() // without the parser's message: it quotes the text
  }
  if (!isRecord(content) || typeof content.current !== 'string' || !isRecord(content.keys)) throw invalid()
  const byId = new Map<string, Buffer>()
  for (const [id, key] of Object.entries(content.keys)) {
    const bytes = typeof key === 'string' ? Buffer.from(key, 'base64') : undefined
    if (bytes?.length !== KEY_BYTES) throw invalid()
    byId.set(id, bytes)
  }
  if (!byId.has(content.current)) throw invalid()
  return { current: content.current, byId }
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null
