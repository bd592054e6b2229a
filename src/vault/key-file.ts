import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, open, readFile, rename, rm, stat } from 'node:fs/promises'
import { KEY_BYTES, type Keys } from './keys.ts'

/** The key file is missing, readable by others, or not what it should be. */
export class KeyFileInvalid extends Error {
  override readonly name = 'KeyFileInvalid'
}

/**
 * Reads a key file: `{"current": "<id>", "keys": {"<id>": "<32 bytes as base64>"}}`, mode 0600.
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
  try {
    await using file = await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600)
    await writeKeys(file, { current: 'k1', byId: new Map([['k1', randomBytes(KEY_BYTES)]]) })
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
  }
  return readKeys(path)
}

/**
 * Adds a new key to the file and makes it the current one; the older ones stay. The file is replaced at once, with its mode.
 * @throws KeyFileInvalid
 */
export async function rotateKeys(path: string): Promise<Keys> {
  const { byId } = await readKeys(path)
  const numbers = [...byId.keys()].map((id) => Number(/^k(\d+)$/.exec(id)?.[1] ?? 0))
  const current = `k${Math.max(...numbers) + 1}`
  const rotated = { current, byId: new Map([[current, randomBytes(KEY_BYTES)], ...byId]) }

  const fresh = `${path}.new`
  const { uid, gid } = await stat(path)
  try {
    await using file = await open(fresh, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600)
    await writeKeys(file, rotated)
    if (process.getuid?.() === 0) await file.chown(uid, gid) // the service's, though root rotates
  } catch (cause) {
    throw new KeyFileInvalid(`KEK_FILE cannot be rotated: ${fresh} is there already or cannot be written`, { cause })
  }
  await rename(fresh, path).catch(async (error: Error) => {
    await rm(fresh, { force: true })
    throw error
  })
  return rotated
}

async function writeKeys(file: FileHandle, { current, byId }: Keys): Promise<void> {
  const keys = Object.fromEntries([...byId].map(([id, key]) => [id, key.toString('base64')]))
  await file.writeFile(`${JSON.stringify({ current, keys })}\n`)
  await file.sync()
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
