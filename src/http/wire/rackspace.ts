import { NO_OPTIONS } from '../../domain/export-options.ts'
import { imageId, type OwnerId } from '../../domain/ids.ts'
import { NO_LABELS } from '../../domain/task.ts'
import type { ExportBody } from '../../export/requests/resolve-request.ts'
import { invalidRequest } from '../requests/request-refused.ts'
import { REQUEST_TOKEN } from '../requests/request-token.ts'
import type { RackspaceBody } from '../schemas/export-request.ts'

/** The Swift of this cloud. */
export type DefaultSwift = {
  /** `swift://host/account`, `{project_id}` in the account. */
  readonly url: string
  /** Keystone's. */
  readonly authUrl: string
}

/**
 * Cloud Images named a container and nothing else: the account is the project's, the token that of the request, the object
 * `<image_uuid>.vhd`, and one that is there is never replaced.
 * @throws RequestRefused where the operator has set no Swift
 */
export function fromRackspace({ input }: RackspaceBody, owner: OwnerId, swift: DefaultSwift | undefined): ExportBody {
  if (!swift) {
    const message =
      'cannot be used here: the operator has set no Swift for it; name the place in export_to, and export_format'
    throw invalidRequest([{ pointer: '/input/receiving_swift_container', message }])
  }
  const account = swift.url.replaceAll('{project_id}', encodeURIComponent(owner))
  return {
    imageId: imageId(input.image_uuid),
    exportTo: `${account}/${encodeURIComponent(input.receiving_swift_container)}`,
    exportFormat: 'vhd',
    formatOptions: {},
    options: { ...NO_OPTIONS, object: { key_template: '{image_id}.{ext}', if_exists: 'fail' } },
    labels: NO_LABELS,
    credentials: { kind: REQUEST_TOKEN, auth_url: swift.authUrl }
  }
}
