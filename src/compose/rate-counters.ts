import { Redis } from 'ioredis'
import type { Log } from '../export/ports.ts'

/** Answers that take longer are not waited for: a request is then served without being counted. */
const PATIENCE_MS = 500

/** A connection for counting requests, of all API processes together. It never holds a request up for long. */
export function rateCounters(url: string, log: Log): Redis {
  const redis = new Redis(url, {
    connectTimeout: PATIENCE_MS,
    commandTimeout: PATIENCE_MS,
    maxRetriesPerRequest: 0,
    enableOfflineQueue: false
  })
  let told = false
  redis.on('error', (err: Error) => {
    if (!told) log.warn({ err }, 'requests are not counted: Redis does not answer')
    told = true
  })
  redis.on('ready', () => {
    told = false
  })
  return redis
}
