import { randomUUID } from 'node:crypto'
import { DestinationInvalid } from '../../domain/destination-errors.ts'
import { ExportError } from '../../domain/errors.ts'
import { taskId } from '../../domain/ids.ts'
import { Secret } from '../../domain/secret.ts'
import type { Actor } from '../../domain/task.ts'
import type { Viewer } from '../../domain/viewer.ts'
import { type Check, type Detail, runCheck } from '../checks/check.ts'
import type { Estimate } from '../checks/estimate.ts'
import { checksOf, type Findings, type PreflightUses } from '../checks/preflight.ts'
import { contentIdOf } from '../content-id.ts'
import type { Log } from '../ports.ts'
import { type ExportBody, type Resolved, type ResolveUses, resolveRequest } from './resolve-request.ts'

/** The answer to one check. A passed check has a code where the user should know something all the same. */
export type Checked = {
  readonly id: Check['id']
  readonly ok: boolean
  /** It was not asked: it does not apply, or one that it rests on has failed (then it is not `ok` either). */
  readonly skipped?: true
  readonly code?: string
  readonly message?: string
  readonly actor?: Actor
  readonly detail?: Detail
}

export type PreflightReport = {
  readonly ok: boolean
  readonly durationMs: number
  readonly checks: readonly Checked[]
  readonly estimate: Estimate | null
}

const ALL_MS = 30_000
const ONE_MS = 12_000

/**
 * Tells whether an export would work, without making a task: nothing is stored and nothing is locked.
 * @throws what resolveRequest throws, and DestinationInvalid for what is no matter of addresses: such a request is no request
 */
export function preflightExport(uses: ResolveUses & PreflightUses & { readonly log: Log }) {
  return async (viewer: Viewer, body: ExportBody): Promise<PreflightReport> => {
    const startedAt = performance.now()
    const ids = { task: taskId(randomUUID()), exportId: randomUUID() }
    const resolved = await resolveRequest(uses, viewer, ids, body)
    const findings: Findings = {}
    try {
      const checks = await answers(uses, viewer, ids, resolved, findings)
      return {
        ok: checks.every(({ ok }) => ok),
        durationMs: Math.round(performance.now() - startedAt),
        checks,
        estimate: findings.estimate ?? null
      }
    } finally {
      await findings.disk?.[Symbol.asyncDispose]()
    }
  }
}

async function answers(
  uses: ResolveUses & PreflightUses & { readonly log: Log },
  viewer: Viewer,
  ids: { readonly task: ReturnType<typeof taskId>; readonly exportId: string },
  resolved: Resolved,
  findings: Findings
): Promise<Checked[]> {
  const { request, image, scrub, told, objectUrl, credentials } = resolved
  const contentId = image.source ? contentIdOf(request, image.source, scrub.identity, told) : ''
  const where = {
    objectUrl,
    credentials: credentials && new Secret(credentials),
    marks: { taskId: ids.task, owner: viewer.owner, exportId: ids.exportId, contentId },
    object: request.options.object
  }
  const subject = { ...resolved, owner: viewer.owner, where, suffix: 0 }
  const signal = AbortSignal.timeout(ALL_MS)
  const passed = new Set<Check['id']>()
  const checks: Checked[] = []
  for (const check of checksOf(uses, subject, findings)) {
    const answer = await answerOf(uses.log, check, passed, signal)
    if (answer.ok) passed.add(check.id)
    checks.push(answer)
  }
  return checks
}

async function answerOf(
  log: Log,
  check: Check,
  passed: ReadonlySet<Check['id']>,
  signal: AbortSignal
): Promise<Checked> {
  const { id, needs } = check
  if (signal.aborted || !needs.every((needed) => passed.has(needed))) return { id, ok: false, skipped: true }
  try {
    const { detail, warning, nothingToAsk } = await runCheck(check, ONE_MS, signal)
    return { id, ok: true, ...(nothingToAsk && { skipped: true }), ...(detail && { detail }), ...warning }
  } catch (error) {
    return { id, ok: false, ...failed(log, error) }
  }
}

function failed(log: Log, error: unknown): Pick<Checked, 'code' | 'message' | 'actor'> {
  if (error instanceof DestinationInvalid && error.code !== 'DEST_ADDRESS_FORBIDDEN') throw error
  if (error instanceof ExportError) return { code: error.code, message: error.message, actor: error.actor }
  log.error({ err: error }, 'preflight check failed')
  const message = 'This could not be checked for a reason that only the operator can see in the log.'
  return { code: 'INTERNAL', message, actor: 'operator' }
}
