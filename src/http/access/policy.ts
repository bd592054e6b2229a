import type { Viewer } from '../../domain/viewer.ts'
import { RequestRefused } from '../requests/request-refused.ts'

const READ = ['reader', 'member', 'admin'] as const
const WRITE = ['member', 'admin'] as const
const ADMIN = ['admin'] as const

/**
 * Who may do what: actions, which are the operationIds of the API's document, and the roles of which a caller needs one. What
 * belongs to another project is not there for anybody but an admin, whatever stands here; discovery needs no role.
 */
export const POLICY = {
  showTask: READ,
  listTasks: READ,
  listImageTasks: READ,
  listDownloads: READ,
  showCapabilities: READ,
  createTask: WRITE,
  exportImage: WRITE,
  preflightTask: WRITE,
  updateTask: WRITE,
  cancelTask: WRITE,
  retryTask: WRITE,
  deleteTask: WRITE,
  issueTempUrl: WRITE,
  revokeTempUrl: WRITE,
  'priority:high': ADMIN,
  showImage: READ,
  listImages: READ,
  downloadImageData: READ,
  createImage: WRITE,
  updateImage: WRITE,
  uploadImageData: WRITE,
  deleteImage: WRITE
} as const satisfies Readonly<Record<string, readonly string[]>>

export type Action = keyof typeof POLICY

export const isAction = (name: string | undefined): name is Action => name !== undefined && Object.hasOwn(POLICY, name)

/** @throws RequestRefused 403 */
export function requireRole(viewer: Viewer, action: Action): void {
  const roles: readonly string[] = POLICY[action]
  if (viewer.roles.some((role) => roles.includes(role))) return
  const needed = roles.length === 1 ? `the role ${roles[0]}` : `one of the roles ${roles.join(', ')}`
  throw new RequestRefused(403, `You are not authorized to complete ${action} action; it needs ${needed}.`)
}
