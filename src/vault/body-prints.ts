import { createHmac } from 'node:crypto'
import type { BodyPrints } from '../export/once.ts'
import { derivedKeys, type Keys } from './keys.ts'

/** HMAC-SHA256 of a JSON value, or of none, whatever the order of its names; one a key, so that a new key does not make it another body. */
export function bodyPrints(keys: Keys): BodyPrints {
  const derived = derivedKeys(keys, 'bodies of requests')
  return (body) => {
    const text = JSON.stringify(body ?? null, inOrder)
    return derived.map((key) => createHmac('sha256', key).update(text).digest())
  }
}

const inOrder = (_name: string, value: unknown): unknown =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
    : value
