import type { Sidecar } from '../../domain/export-options.ts'
import { fileName, MANIFEST_ENDING, type ManifestFacts, manifestText } from './manifest.ts'

/** What follows the object's own name. */
export const SIDECAR_ENDINGS = { sha256: '.sha256', manifest: MANIFEST_ENDING } as const satisfies Record<
  Sidecar,
  string
>

export type SidecarText = { readonly mediaType: string; readonly text: string }

/** What a small object beside the image says. */
export function sidecarText(sidecar: Sidecar, facts: ManifestFacts): SidecarText {
  if (sidecar === 'manifest') return { mediaType: 'application/json', text: manifestText(facts) }
  const { sha256 } = facts.sent
  if (sha256 === null) throw new Error('a file was sent without the digest that was asked for')
  return { mediaType: 'text/plain', text: sha256Line(sha256, fileName(facts.target.url)) }
}

/** As sha256sum reads it: a name with a backslash or a line break is escaped, and the line says so at its beginning. */
function sha256Line(sha256: string, name: string): string {
  const escaped = name.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('\r', '\\r')
  return `${escaped === name ? '' : '\\'}${sha256}  ${escaped}\n`
}
