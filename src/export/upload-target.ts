import type { Credentials, Marks, UploadTarget } from '../destinations/destination.ts'
import type { ObjectOptions } from '../domain/export-options.ts'
import type { Secret } from '../domain/secret.ts'
import { withSuffix } from './requests/key-template.ts'

/** What does not change about where an export goes. */
export type Where = {
  /** Of the object, without a suffix. */
  readonly objectUrl: URL
  readonly credentials: Secret<Credentials> | undefined
  readonly marks: Marks
  readonly object: ObjectOptions
}

type File = Pick<UploadTarget, 'length' | 'exact' | 'mediaType' | 'virtual'>

/** Stands for the file where only its place matters. */
export const NO_FILE: File = { length: 0, exact: true, mediaType: '', virtual: false }

export function uploadTarget(
  { objectUrl, credentials, marks, object }: Where,
  { suffix, replace }: { readonly suffix: number; readonly replace: boolean },
  file: File
): UploadTarget {
  const { key_template: _name, if_exists: _policy, ...settings } = object
  return { url: withSuffix(objectUrl, suffix), credentials, marks, object: { ...settings, replace }, ...file }
}
