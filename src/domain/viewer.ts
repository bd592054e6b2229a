import type { OwnerId } from './ids.ts'

/** Who asks. An admin sees every project's tasks and images, everybody else those of the own project and what is public. */
export type Viewer = {
  readonly owner: OwnerId
  readonly userId: string
  /** Lower case, as Keystone's middleware hands them on. */
  readonly roles: readonly string[]
  readonly admin: boolean
}
