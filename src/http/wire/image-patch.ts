import { RequestRefused } from '../requests/request-refused.ts'
import type { ImageDocument, PatchRequest } from '../schemas/image.ts'
import { isBase, isReadOnly, readOnly } from './image.ts'

/**
 * Applies a patch of media type application/openstack-images-v2.1-json-patch: RFC 6902's add, replace and remove on whole
 * properties. The result is to be checked against the schema, as it holds whatever the patch says.
 * @throws RequestRefused 403 for properties that may not be changed, 409 for custom properties that are not there
 */
export function applyPatch(document: ImageDocument, patch: PatchRequest): Record<string, unknown> {
  const changed = new Map<string, unknown>(Object.entries(document))
  for (const { op, path, value } of patch) {
    const property = path.slice(1).replaceAll('~1', '/').replaceAll('~0', '~')
    if (isReadOnly(property)) throw readOnly(property)
    if (op !== 'add' && !changed.has(property)) {
      throw new RequestRefused(409, `Property ${property.slice(0, 64)} does not exist.`)
    }
    if (op === 'remove') remove(changed, property)
    else changed.set(property, value)
  }
  return Object.fromEntries(changed)
}

function remove(document: Map<string, unknown>, property: string): void {
  if (isBase(property)) throw new RequestRefused(403, `Property ${property} may not be removed.`)
  document.delete(property)
}
