import type { Viewer } from '../domain/viewer.ts'

/** The condition for what a caller may see: the own project's tasks, all of them for an admin, and none that has expired. */
export function visibleTo(viewer: Viewer, add: (value: unknown) => string): string {
  const fresh = '(expires_at is null or expires_at > now())'
  return viewer.admin ? fresh : `owner = ${add(viewer.owner)} and ${fresh}`
}
