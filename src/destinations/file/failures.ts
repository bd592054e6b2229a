import { ExportError } from '../../domain/errors.ts'
import { failure } from '../failures.ts'
import type { Situation } from '../situations.ts'

/** How messages call it: its real folder is nobody's business but the operator's. */
export const FILE_STORE = 'The file store'

const BY_ERRNO: Readonly<Record<string, Situation>> = {
  ENOENT: 'notFound',
  ENOTDIR: 'notAFolder',
  ELOOP: 'notAFolder',
  EISDIR: 'notAFolder',
  EEXIST: 'objectExists',
  ENOSPC: 'storeFull',
  EDQUOT: 'storeFull',
  EACCES: 'storeDenied',
  EPERM: 'storeDenied',
  EROFS: 'storeDenied',
  ENAMETOOLONG: 'nameTooLong',
  EFBIG: 'tooLarge'
}
/** Trouble of this process, not of the file store. */
const OURS = new Set(['EMFILE', 'ENFILE', 'ENOMEM'])

/** What an error of a file operation means; what is no such error comes back as it is. */
export function fileFailure(error: unknown): unknown {
  if (error instanceof ExportError) return error
  const code = errnoOf(error)
  if (code === undefined || OURS.has(code)) return error
  return failure(BY_ERRNO[code] ?? 'serverError', FILE_STORE, { cause: error })
}

export const errnoOf = (error: unknown): string | undefined =>
  error instanceof Error && 'errno' in error && 'code' in error ? String(error.code) : undefined
