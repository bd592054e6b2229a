/**
 * Where a file is that is downloaded from here: `tempurl:///virtual/<name>` is made from the image whenever it is read,
 * `tempurl:///staged/<name>` is kept as a file. So the URL of the object, which is stored with its task, says which it is.
 */
export const tempUrlPlace = (kind: 'virtual' | 'staged'): URL => new URL(`tempurl:///${kind}`)

export const isVirtual = ({ pathname }: URL): boolean => pathname.startsWith('/virtual/')
