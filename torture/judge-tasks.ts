import { createHash } from 'node:crypto'
import type { Api } from './api.ts'
import { type History, isEnd, lives } from './history.ts'
import type { Load, Sown } from './load.ts'
import type { Stores } from './stores.ts'
import type { Verdict } from './verdict.ts'

type Result = {
  readonly bytes: number
  readonly sha256: string | null
  readonly composite: { readonly sha256: string; readonly partBytes: number } | null
}

/** A task's row, as far as it is judged. */
export type Row = {
  readonly id: string
  readonly owner: string
  readonly status: string
  readonly url: string
  readonly result: Result | null
  readonly code: string | null
  readonly message: string
  readonly left: readonly { readonly what: string }[] | null
  readonly late: boolean
  readonly sealed: boolean
  readonly attempts: number
  /** Seconds until its turn; below 0 when that has passed. */
  readonly turn: number
}

export type TasksEvidence = {
  readonly api: Api
  readonly load: Load
  readonly history: History
  readonly stores: Stores
  /** Bytes of every recipe, exported while nothing happened. */
  readonly originals: ReadonlyMap<string, Buffer>
}

export async function readRows({ pool }: History): Promise<ReadonlyMap<string, Row>> {
  const { rows } = await pool.query<Row>(
    `select id, owner, status, attempts, message, result, failure->>'code' as code, cleanup->'left' as left,
            coalesce(object_url, export_to || '/' || export_id) as url, coalesce(finished_at > deadline, false) as late,
            credentials_ciphertext is not null or credentials_wrapped_key is not null as sealed,
            extract(epoch from next_run_at - now())::integer as turn
       from tasks`
  )
  return new Map(rows.map((row) => [row.id, row]))
}

/** Every task ended once, and the right way. */
export async function judgeTasks(
  evidence: TasksEvidence,
  rows: ReadonlyMap<string, Row>,
  verdict: Verdict
): Promise<void> {
  const { load, history } = evidence
  for (const sown of load.tasks.values()) {
    const row = rows.get(sown.id)
    verdict.look('a task that was answered with 201 is there', !row && `task ${sown.id} is not`)
    if (row) await judgeTask(evidence, sown, row, verdict)
  }
  for (const [task, life] of lives(await history.steps())) {
    const ends = life.filter(isEnd)
    const told = `task ${task}: ${life.map(({ became, epoch }) => `${became} ${epoch}`).join(', ')}`
    verdict.look(
      'a task ends once, and nothing happens to it then',
      (ends.length !== 1 || life.at(-1) !== ends[0]) && told
    )
  }
  const breaches = await history.breaches()
  verdict.look('no image is deleted under a task', breaches.length > 0 && breaches.join('; '))
}

async function judgeTask(evidence: TasksEvidence, sown: Sown, row: Row, verdict: Verdict): Promise<void> {
  const name = `task ${row.id} (${sown.recipe.name} to ${sown.target.name}, ${row.attempts} attempts)`
  const ended = row.status === 'success' || row.status === 'failure'
  verdict.look('every task ends', !ended && `${name} is ${row.status}, its turn in ${row.turn} s: ${row.message}`)
  if (!ended) return
  verdict.look('before its deadline', row.late && `${name} ended late`)
  verdict.look('without its credentials', row.sealed && `${name} still has them`)
  const expected = sown.canceled ? 'CANCELED_BY_USER' : sown.target.ends
  const ending = row.code ?? row.status
  verdict.look('the right way', ending !== expected && `${name} ended as ${ending}, not ${expected}: ${row.message}`)
  if (row.status === 'success') await judgeObject(evidence, sown, row, name, verdict)
}

async function judgeObject(
  { api, stores, originals }: TasksEvidence,
  sown: Sown,
  { url: text, owner, result }: Row,
  name: string,
  verdict: Verdict
): Promise<void> {
  const original = originals.get(sown.recipe.name)
  if (!original || !result) throw new Error(`there is nothing to compare ${name} with`)
  const url = new URL(text)
  const bytes = url.protocol === 'tempurl:' ? await downloaded(api, sown) : await stores.read(url, owner)
  verdict.look('what succeeded is there', !bytes && `${name}: nothing is at ${url.href}`)
  if (!bytes) return
  const rightLength = bytes.length === result.bytes
  verdict.look('with the length that the task states', !rightLength && `${name}: ${bytes.length}, not ${result.bytes}`)
  verdict.look('with the hash that the task states', !fitsDigest(bytes, result) && `${name}: it has another`)
  verdict.look('equal to what is exported undisturbed', !bytes.equals(original) && `${name}: it differs`)
}

/** One digest of the whole, or where parts went in any order, one of theirs. */
function fitsDigest(bytes: Buffer, { sha256, composite }: Result): boolean {
  const digest = (part: Buffer) => createHash('sha256').update(part).digest()
  if (sha256 !== null) return digest(bytes).toString('hex') === sha256
  if (composite === null) return false
  const { partBytes } = composite
  const parts = Array.from({ length: Math.ceil(bytes.length / partBytes) }, (_, index) =>
    digest(bytes.subarray(index * partBytes, (index + 1) * partBytes))
  )
  return digest(Buffer.concat(parts)).toString('hex') === composite.sha256
}

/** A file that was kept for download: it is fetched, and then given up. */
async function downloaded(api: Api, { id, project }: Sown): Promise<Buffer | undefined> {
  const { body } = await api.call(project, 'GET', `/v2/tasks/${id}`)
  const answer = await fetch(String(body.export_location))
  const bytes = Buffer.from(await answer.arrayBuffer())
  await api.call(project, 'DELETE', `/v2/tasks/${id}/temp_url`)
  return answer.status === 200 ? bytes : undefined
}
