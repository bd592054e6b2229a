import { fastifyRateLimit, normalizeIP } from '@fastify/rate-limit'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Redis } from 'ioredis'
import { RequestRefused } from '../requests/request-refused.ts'

/** Requests in a minute; 0 is any number. */
export type RateLimitSettings = {
  readonly readsPerProject: number
  /** Others wait while reading goes on: who may not create now can still poll. */
  readonly writesPerProject: number
  /** Of one address, without a valid token. */
  readonly refusedPerAddress: number
  /** Counts for all API processes together; absent: each counts for itself. Where it does not answer, nothing is limited. */
  readonly redis?: Redis
}

/** Counts a request. @throws RequestRefused 429 with Retry-After */
type Limiter = (request: FastifyRequest) => Promise<void>

export type RateLimits = { readonly ofProject: Limiter; readonly ofRefused: Limiter }

const MINUTE_MS = 60_000
/** Projects and addresses that are remembered without Redis; the longest silent are forgotten first. */
const REMEMBERED = 10_000

export const NO_RATE_LIMITS: RateLimitSettings = { readsPerProject: 0, writesPerProject: 0, refusedPerAddress: 0 }

export function rateLimits(app: FastifyInstance, settings: RateLimitSettings): RateLimits {
  const { redis } = settings
  app.register(fastifyRateLimit, {
    global: false,
    timeWindow: MINUTE_MS,
    cache: REMEMBERED,
    skipOnError: true,
    ...(redis && { redis, nameSpace: 'glance-export:rate:' })
  })
  const limiter = (max: number, whose: string, what: string, keyOf: (request: FastifyRequest) => string): Limiter => {
    if (max === 0) return async () => {}
    let check: ReturnType<FastifyInstance['createRateLimit']> | undefined
    app.after(() => {
      check = app.createRateLimit({ max, keyGenerator: (request) => `${what} ${keyOf(request)}` })
    })
    return async (request) => {
      const counted = await check?.(request)
      if (!counted || counted.isAllowed || !counted.isExceeded) return
      const seconds = Math.max(1, counted.ttlInSeconds)
      throw new RequestRefused(
        429,
        `This ${whose} has sent more than ${max} ${what} within a minute: go on in ${seconds} seconds.`,
        { headers: { 'retry-after': String(seconds) } }
      )
    }
  }
  const owner = ({ viewer }: FastifyRequest) => viewer?.owner ?? ''
  const reads = limiter(settings.readsPerProject, 'project', 'requests that read', owner)
  const writes = limiter(settings.writesPerProject, 'project', 'requests that create or change', owner)
  // Whoever has an IPv6 address has 2^64 of them.
  const address = ({ ip }: FastifyRequest) => normalizeIP(ip, 64)
  return {
    ofProject: (request) => (['GET', 'HEAD'].includes(request.method) ? reads(request) : writes(request)),
    ofRefused: limiter(settings.refusedPerAddress, 'address', 'requests without a valid token', address)
  }
}
