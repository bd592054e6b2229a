import { createHmac, timingSafeEqual } from 'node:crypto'

/** What a signature is about. It stands for GET; whoever may GET may HEAD. */
export type Signed = {
  /** Seconds since 1970; from then on it is void. */
  readonly expires: number
  /** Below the public URL, not percent-encoded. */
  readonly path: string
  /** Address or network of those who may use it. */
  readonly ipRange: string | undefined
}

/**
 * As OpenStack Swift signs its temporary URLs: HMAC-SHA256, lower-case hex.
 * @see https://docs.openstack.org/swift/latest/api/temporary_url_middleware.html
 */
export const signature = (key: Buffer, { expires, path, ipRange }: Signed): string =>
  createHmac('sha256', key)
    .update(`${ipRange === undefined ? '' : `ip=${ipRange}\n`}GET\n${expires}\n${path}`)
    .digest('hex')

/** Whether one of the keys has signed this. Takes as long for a wrong signature as for a right one. */
export function isSignature(keys: readonly Buffer[], signed: Signed, given: string): boolean {
  if (!/^[0-9a-f]{64}$/.test(given)) return false
  const wanted = keys.map((key) => signature(key, signed))
  return wanted.filter((one) => timingSafeEqual(Buffer.from(one), Buffer.from(given))).length > 0
}
