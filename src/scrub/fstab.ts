export type FstabLine = {
  readonly what: string
  /** Without a slash at its end. */
  readonly at: string
  readonly types: readonly string[]
  readonly options: string
}

/**
 * What a guest's /etc/fstab has mounted or swapped to.
 * @param text latin1
 * @see fstab(5)
 */
export const fstabLines = (text: string): FstabLine[] =>
  text
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(unescaped))
    .filter(([what = '']) => what !== '' && !what.startsWith('#'))
    .map(([what = '', at = '', type = '', options = '']) => ({ what, at: plain(at), types: type.split(','), options }))

/** `/home/` is `/home`. */
const plain = (path: string): string => (path.startsWith('/') ? `/${path.split('/').filter(Boolean).join('/')}` : path)

/** Spaces and the like stand as three octal digits. */
const unescaped = (field: string): string =>
  field.replace(/\\([0-3][0-7]{2})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))
