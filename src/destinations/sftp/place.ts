import { readNames } from '../path-names.ts'

/** Where an object is at the server. Paths are absolute; `sftp://host/~/a` is relative to the folder where sessions start. */
export type Place = { readonly folder: string; readonly name: string; readonly path: string }

/** @throws DestinationInvalid DEST_URL_INVALID */
export function readPlace(url: URL): Place {
  const { folders, name } = readNames(url)
  const folder = folders[0] === '~' ? ['.', ...folders.slice(1)].join('/') : `/${folders.join('/')}`
  return { folder, name, path: within(folder, name) }
}

export const within = (folder: string, name: string): string => `${folder.replace(/\/$/, '')}/${name}`
