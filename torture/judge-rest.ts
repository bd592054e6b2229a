import { readdirSync, readFileSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Row, TasksEvidence } from './judge-tasks.ts'
import type { Death } from './slots.ts'
import { SECRET_KEY } from './stores.ts'
import type { Verdict } from './verdict.ts'

export type RestEvidence = TasksEvidence & {
  readonly deaths: readonly Death[]
  /** Of the service: files for download lie in `exports`, images in `images`. */
  readonly dataDir: string
  /** Folder with what the processes have printed. */
  readonly logs: string
}

/** Longer than a worker may take to hand back what it runs. */
const GRACE_MS = 25_000

/** Nothing is left of what failed, anywhere. */
export async function judgeLeftovers(
  { stores, dataDir, history }: RestEvidence,
  rows: ReadonlyMap<string, Row>,
  verdict: Verdict
): Promise<void> {
  const all = [...rows.values()]
  const places = new Map(all.map((row) => [placeOf(row), row]))
  const { objects, unfinished } = await stores.everything()
  for (const object of objects) {
    const row = places.get(object) ?? all.find(({ url }) => object.endsWith(`.probe-${url.slice(-12)}`))
    const known = row?.status === 'success' || (row?.left ?? []).length > 0
    verdict.look('objects are of tasks that succeeded', !known && `${object}: ${told(row)}`)
  }
  for (const place of unfinished) {
    const row = all.find(({ url }) => place.includes(url.slice(url.lastIndexOf('/') + 1)))
    const said = (row?.left ?? []).length > 0
    verdict.look('no upload is left unfinished', !said && `${place}: ${told(row)}`)
  }
  verdict.look('no upload is left unfinished', undefined)

  const staged = await readdir(join(dataDir, 'exports')).catch(() => [])
  for (const name of staged.filter((one) => one !== 'lost+found'))
    verdict.look('the staging area is empty', `${name}: ${told(rows.get(name))}`)
  verdict.look('the staging area is empty', undefined)

  const { rows: notes } = await history.pool.query<{ id: string }>(
    `select id from tasks where upload_state is not null and status in ('success', 'failure')`
  )
  verdict.look('no task that ended has an upload under way', notes.length > 0 && notes.map(({ id }) => id).join(', '))
}

const told = (row: Row | undefined): string =>
  row ? `task ${row.id}, ${row.code ?? row.status} after ${row.attempts} attempts` : 'of no task'

/** As the stores name it. */
function placeOf({ url: text, owner }: Row): string {
  const url = new URL(text)
  if (url.protocol === 's3:') return `s3://${url.host}${url.pathname}`
  if (url.protocol === 'file:') return `file://${owner}${url.pathname}`
  return `http:/${url.pathname}`
}

/** The images can be deleted, the processes have gone, and nobody has told a secret. */
export async function judgeService(evidence: RestEvidence, verdict: Verdict): Promise<void> {
  const { api, load, deaths, logs } = evidence
  for (const fault of api.faults) verdict.look('the API never fails but with 503', fault)
  verdict.look('the API never fails but with 503', undefined)
  for (const fault of load.faults) verdict.look('users are served', fault)
  verdict.look('users are served', undefined)
  for (const death of deaths) {
    const told = `${death.slot} ${death.how} (code ${death.code}, ${death.tookMs} ms)`
    if (death.how === 'terminated' && death.ready)
      verdict.look(
        'SIGTERM ends a process with 0, in time',
        ((death.code !== 0 && !death.askedTwice) || death.tookMs > GRACE_MS) && told
      )
    else verdict.look('no process ends by itself', death.how === 'ended by itself' && told)
  }
  for (const name of await readdir(logs)) {
    const text = await readFile(join(logs, name), 'utf8')
    verdict.look('no secret is in a log', text.includes(SECRET_KEY) && name)
    const fatal = /^{"level":60,.*$/m.exec(text)?.[0]
    verdict.look('nothing ends a process that nobody expected', fatal !== undefined && `${name}: ${fatal}`)
  }
}

/** No image stays locked. To be asked while the API still answers. */
export async function judgeImages({ api, load }: RestEvidence, verdict: Verdict): Promise<void> {
  for (const [name, id] of load.images) {
    const project = name.split(' ').at(-1) ?? ''
    const { status, body } = await api.call(project, 'DELETE', `/v2/images/${id}`)
    const deleted = status === 204 || status === 404
    verdict.look('every image can be deleted in the end', !deleted && `${name}: ${status} ${JSON.stringify(body)}`)
  }
}

/** @param mark that every process of the campaign has in its environment */
export function judgeProcesses(mark: string, verdict: Verdict): void {
  const left = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && environmentOf(name).includes(mark))
  verdict.look('no process is left', left.length > 0 && `pids ${left.join(', ')}`)
}

function environmentOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1')
  } catch {
    return ''
  }
}
