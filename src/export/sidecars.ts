import type { Destination, UploadTarget } from '../destinations/destination.ts'
import { ExportError } from '../domain/errors.ts'
import type { Sidecar } from '../domain/export-options.ts'
import type { Warning } from '../domain/task.ts'
import { Retries, type RetryRules } from '../pipeline/retries.ts'
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
  { retryRules, log }: { readonly retryRules: RetryRules; readonly log: Log },
  signal: AbortSignal
): Promise<Written> {
  const sidecars: Partial<Record<Sidecar, string>> = {}
  const warnings: Warning[] = []
  for (const sidecar of asked) {
    try {
      sidecars[sidecar] = await writeSmall(destination, facts.target, contentOf(sidecar, facts), retryRules, signal)
    } catch (err) {
      signal.throwIfAborted()
      log.warn({ taskId: facts.target.marks.taskId, sidecar, err }, 'sidecar could not be written')
      warnings.push(notWritten(ENDINGS[sidecar], err))
    }
  }
  return { sidecars, warnings }
}

type Small = { readonly ending: string; readonly mediaType: string; readonly text: string }

const ENDINGS = { sha256: '.sha256', manifest: MANIFEST_ENDING } as const satisfies Record<Sidecar, string>

function contentOf(sidecar: Sidecar, facts: ManifestFacts): Small {
  const ending = ENDINGS[sidecar]
  if (sidecar === 'manifest') return { ending, mediaType: 'application/json', text: manifestText(facts) }
  const { sha256 } = facts.sent
  if (sha256 === null) throw new Error('a file was sent without the digest that was asked for')
  return { ending, mediaType: 'text/plain', text: sha256Line(sha256, fileName(facts.target.url)) }
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
  retryRules: RetryRules,
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
    const retries = new Retries(retryRules, { length, parts: 1 })
    await retries.run(signal, () => upload.putPart({ number: 1, offset: 0, length }, once(bytes), signal))
    return (await retries.run(signal, () => upload.commit(signal))).location
  } catch (error) {
    await upload.abort().catch(() => {}) // why it could not be written is what is told
    throw error
  }
}

async function* once(bytes: Uint8Array) {
  yield bytes
}

const notWritten = (ending: string, error: unknown): Warning => ({
  code: 'SIDECAR_NOT_WRITTEN',
  message: `The object ${ending} was not written: ${error instanceof ExportError ? error.message : 'the operator can see why in the log.'}`
})
