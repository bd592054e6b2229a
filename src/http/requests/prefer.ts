/**
 * For how many seconds the client lets us wait, by `Prefer: wait=N`; 0 without it, and for what is none.
 * @see https://www.rfc-editor.org/rfc/rfc7240#section-4.3
 */
export function preferredWait(header: string | string[] | undefined, maxSeconds: number): number {
  const preferences = String(header ?? '').split(',')
  for (const preference of preferences) {
    const [, seconds] = /^\s*wait\s*=\s*"?(\d{1,9})"?\s*(?:;|$)/i.exec(preference) ?? []
    if (seconds !== undefined) return Math.min(Number(seconds), maxSeconds)
  }
  return 0
}
