import { DestinationInvalid } from '../../domain/destination-errors.ts'

/** An object of Swift, or with an empty `object` the container itself. Nothing is percent-encoded. */
export type Place = { readonly account: string; readonly container: string; readonly object: string }

/** What Swift allows where `/info` says nothing else. */
const MAX_CONTAINER_BYTES = 256
const MAX_OBJECT_BYTES = 1024

/** Where the segments of a container's large objects lie, by the name that Swift's own client gives it. */
export const segmentsContainer = (container: string): string => `${container}_segments`

/**
 * Whether a path is that of an object in the container for segments. A URL takes `.` and `..` for folders, also where they are the
 * name of an object: a request for such a one would be about another, maybe in another container.
 */
export function isInSegmentsContainer(path: string, container: string): boolean {
  const folder = `${pathOf(segmentsContainer(container))}/`
  return path.startsWith(folder) && path !== folder && !/\/\.\.?(?:\/|$)/.test(path)
}

/**
 * Reads `swift://host/account/container/path`.
 * @throws DestinationInvalid DEST_URL_INVALID
 */
export function readPlace(url: URL): Place {
  const refuse = (why: string) => new DestinationInvalid('DEST_URL_INVALID', '/export_to', `export_to: ${why}.`)
  const [account = '', container = '', ...path] = url.pathname.slice(1).split('/').map(decodeURIComponent)
  if (account === '' || container === '') {
    throw refuse('a swift URL names an account and a container: swift://host/account/container/path')
  }
  const object = path.join('/').replace(/\/$/, '')
  if (Buffer.byteLength(segmentsContainer(container)) > MAX_CONTAINER_BYTES) {
    throw refuse(`a container may have at most ${MAX_CONTAINER_BYTES - segmentsContainer('').length} bytes`)
  }
  if (Buffer.byteLength(object) > MAX_OBJECT_BYTES) {
    throw refuse(`a path below the container may have at most ${MAX_OBJECT_BYTES} bytes`)
  }
  return { account, container, object }
}

/** `/container/object`, percent-encoded. */
export const pathOf = (container: string, object?: string): string =>
  [container, ...(object === undefined ? [] : object.split('/'))].map((name) => `/${encodeURIComponent(name)}`).join('')
