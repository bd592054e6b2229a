/**
 * The time that a text of ISO 8601 names, whose first ten characters are the day. Undefined where there is no such time:
 * `Date` itself takes February 30 for March 2.
 */
export function timeOf(text: string): Date | undefined {
  const day = text.slice(0, 10)
  const time = new Date(text)
  return Number.isNaN(time.getTime()) || !new Date(`${day}T00:00:00Z`).toISOString().startsWith(day) ? undefined : time
}
