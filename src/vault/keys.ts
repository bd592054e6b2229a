import { createHash, hkdfSync } from 'node:crypto'

export const KEY_BYTES = 32

/** Key-encryption keys by id. New tasks are sealed with `current`; the others still open what was sealed with them. */
export type Keys = { readonly current: string; readonly byId: ReadonlyMap<string, Buffer> }

/** Keys of 32 bytes without names, the current one first: each is named after a digest of itself. */
export function namedKeys(keys: readonly Buffer[]): Keys {
  const byId = new Map(keys.map((key) => [createHash('sha256').update(key).digest('hex').slice(0, 12), key]))
  const [current = ''] = byId.keys()
  return { current, byId }
}

/** The key-encryption key of that name. */
export function keyOf(keys: Keys, id: string): Buffer {
  const key = keys.byId.get(id)
  if (!key) throw new Error(`there is no key-encryption key ${JSON.stringify(id)}`)
  return key
}

/**
 * A key for one other purpose, made of the current one.
 * @see https://www.rfc-editor.org/rfc/rfc5869 HKDF
 */
export const derivedKey = (keys: Keys, purpose: string): Buffer => derive(keyOf(keys, keys.current), purpose)

/** The same of every key, the current one first: what was made with an older one is still known. */
export const derivedKeys = (keys: Keys, purpose: string): Buffer[] => {
  const others = [...keys.byId.keys()].filter((id) => id !== keys.current)
  return [keys.current, ...others].map((id) => derive(keyOf(keys, id), purpose))
}

const derive = (key: Buffer, purpose: string): Buffer =>
  Buffer.from(hkdfSync('sha256', key, '', `glance-export ${purpose}`, KEY_BYTES))
