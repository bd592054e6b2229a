import { randomBytes } from 'node:crypto'
import { inject } from 'vitest'
import type { RedisKind } from './global-setup.ts'

export type FreshRedis = {
  readonly url: string
  readonly kind: RedisKind
  /** Put before every key (BullMQ: `prefix`), so that tests at the same time do not meet. */
  readonly prefix: string
}

/** The Redis of this test run, and a prefix of one's own on it. */
export function freshRedis(): FreshRedis {
  return {
    url: inject('redisUrl'),
    kind: inject('redisKind'),
    prefix: `test-${randomBytes(8).toString('hex')}`
  }
}

let taken = 0

/** The URL of a database of one's own on the Redis of this test run, for processes that take nothing but a URL. */
export function freshRedisDatabase(): string {
  taken = (taken % 14) + 1
  const url = new URL(inject('redisUrl'))
  url.pathname = `/${taken}`
  return url.href
}
