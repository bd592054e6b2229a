import type { Destination, UploadTarget } from '../destinations/destination.ts'
import { ExportError } from '../domain/errors.ts'
import type { Sidecar } from '../domain/export-options.ts'
import type { Warning } from '../domain/task.ts'
import { besideIt } from './key-template.ts'
import { fileName, MANIFEST_ENDING, type ManifestFacts, manifestText } from './manifest.ts'
import type { Log } from './ports.ts'

export type Written = {
  readonly sidecars: Partial<Readonly<Record<Sidecar, string>>>
  readonly warnings: readonly Warning[]
}

/**
 * Writes the small objects beside the image that were asked for. One that cannot be written is a warning: the image itself is
 * there and proved.
 * @throws the reason of `signal`
 */
export async function writeSidecars(
  destination: Destination,
  asked: readonly Sidecar[],
  facts: ManifestFacts,
  log: Log,
  signal: AbortSignal
): Promise<Written> {
  const sidecars: Partial<Record<Sidecar, string>> = {}
  const warnings: Warning[] = []
  for (const sidecar of asked) {
    const what = contentOf(sidecar, facts)
    if (!what) {
      warnings.push(NO_SHA256)
      continue
    }
    try {
      sidecars[sidecar] = await writeSmall(destination, facts.target, what, signal)
    } catch (err) {
      signal.throwIfAborted()
      log.warn({ taskId: facts.target.marks.taskId, sidecar, err }, 'sidecar could not be written')
      warnings.push(notWritten(what.ending, err))
    }
  }
  return { sidecars, warnings }
}

type Small = { readonly ending: string; readonly mediaType: string; readonly text: string }

/** Undefined where it cannot be told: the SHA-256 of a file whose head was sent last. */
function contentOf(sidecar: Sidecar, facts: ManifestFacts): Small | undefined {
  if (sidecar === 'manifest') {
    return { ending: MANIFEST_ENDING, mediaType: 'application/json', text: manifestText(facts) }
  }
  const { sha256 } = facts.sent
  if (sha256 === null) return undefined
  return { ending: '.sha256', mediaType: 'text/plain', text: sha256Line(sha256, fileName(facts.target.url)) }
}

/** As sha256sum reads it: a name with a backslash or a line break is escaped, and the line says so at its beginning. */
function sha256Line(sha256: string, name: string): string {
  const escaped = name.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('\r', '\\r')
  return `${escaped === name ? '' : '\\'}${sha256}  ${escaped}\n`
}

async function writeSmall(
  destination: Destination,
  target: UploadTarget,
  { ending, mediaType, text }: Small,
  signal: AbortSignal
): Promise<string> {
  const bytes = Buffer.from(text)
  const { length } = bytes
  const upload = await destination.open(
    {
      ...target,
      url: besideIt(target.url, ending),
      object: { ...target.object, replace: true },
      length,
      exact: true,
      mediaType,
      virtual: false
    },
    signal
  )
  try {
    await upload.putPart({ number: 1, offset: 0, length }, once(bytes), signal)
    return (await upload.commit(signal)).location
  } catch (error) {
    await upload.abort().catch(() => {}) // why it could not be written is what is told
    throw error
  }
}

async function* once(bytes: Uint8Array) {
  yield bytes
}

const NO_SHA256: Warning = {
  code: 'SIDECAR_NOT_WRITTEN',
  message:
    'The .sha256 file was not written: the head of this compressed file was sent last, so only composite_checksum is known. ' +
    'Ask for "verify": "full" to have its SHA-256.'
}

const notWritten = (ending: string, error: unknown): Warning => ({
  code: 'SIDECAR_NOT_WRITTEN',
  message: `The object ${ending} was not written: ${error instanceof ExportError ? error.message : 'the operator can see why in the log.'}`
})
