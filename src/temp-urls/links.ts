import type { TaskId } from '../domain/ids.ts'
import { isInRange } from '../domain/ip-range.ts'
import type { TempUrl } from './ports.ts'
import { isSignature, type Signed, signature } from './signature.ts'

/** Keys for one purpose, made of every key-encryption key; the current one first. */
export type DeriveKeys = (purpose: string) => readonly Buffer[]

/** What a request for a file says of itself. A parameter that came twice is undefined. */
export type Claimed = {
  readonly fileName: string
  readonly signature: string | undefined
  readonly expires: string | undefined
  readonly ipRange: string | undefined
  /** Address that the request came from. */
  readonly client: string
}

/** Makes and checks signed URLs. Nothing of them is stored: the keys and a task's generation say whether one is ours. */
export class Links {
  readonly #derive: DeriveKeys
  readonly #publicUrl: () => string

  constructor(derive: DeriveKeys, publicUrl: () => string) {
    this.#derive = derive
    this.#publicUrl = publicUrl
  }

  /** @param until when this URL ends, cut to the second */
  url(tempUrl: TempUrl, until = tempUrl.expiresAt): string {
    const { taskId, fileName, ipRange, generation } = tempUrl
    const signed = {
      expires: Math.floor(until.getTime() / 1000),
      path: pathOf(taskId, fileName),
      ipRange: ipRange ?? undefined
    }
    const [key] = this.#keys(taskId, generation)
    if (!key) throw new Error('there is no key to sign with')
    const query = new URLSearchParams({
      temp_url_sig: signature(key, signed),
      temp_url_expires: String(signed.expires),
      ...(signed.ipRange !== undefined && { temp_url_ip_range: signed.ipRange })
    })
    const path = pathOf(taskId, encodeURIComponent(fileName))
    return `${this.#publicUrl().replace(/\/$/, '')}${path}?${query}`
  }

  /** Whether a request may have the file. `tempUrl` undefined costs the same time and is no. */
  admits(taskId: TaskId, claimed: Claimed, tempUrl: TempUrl | undefined, now = Date.now()): boolean {
    const expires = /^\d{1,12}$/.test(claimed.expires ?? '') ? Number(claimed.expires) : 0
    const signed: Signed = { expires, path: pathOf(taskId, claimed.fileName), ipRange: claimed.ipRange }
    const ours = isSignature(this.#keys(taskId, tempUrl?.generation ?? 0), signed, claimed.signature ?? '')
    return (
      ours &&
      tempUrl?.fileName === claimed.fileName &&
      expires * 1000 > now &&
      (claimed.ipRange === undefined || isInRange(claimed.client, claimed.ipRange))
    )
  }

  #keys(taskId: TaskId, generation: number): readonly Buffer[] {
    return this.#derive(`temporary URLs of ${taskId}, generation ${generation}`)
  }
}

const pathOf = (taskId: TaskId, fileName: string): string => `/v2/exports/${taskId}/${fileName}`
