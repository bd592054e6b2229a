import { setTimeout as sleep } from 'node:timers/promises'
import { crashChooser } from './crash-points.ts'
import { countsFor, FAULTS, type FaultName, planFaults } from './faults.ts'
import { type Ground, prepareGround } from './ground.ts'
import { recoveries, type Step } from './history.ts'
import { type Disk, holdsDisk, makeDisks, RECIPES } from './images.ts'
import { judgeImages, judgeLeftovers, judgeProcesses, judgeService } from './judge-rest.ts'
import { judgeTasks, type Row, readRows } from './judge-tasks.ts'
import { Load } from './load.ts'
import { logLines } from './log-lines.ts'
import { Random } from './random.ts'
import type { Death } from './slots.ts'
import { SOUND_S3 } from './targets.ts'
import { Verdict } from './verdict.ts'

export type CampaignOptions = {
  readonly seed: number
  /** How long things go wrong. */
  readonly minutes: number
  /** How often, where it is not to follow from the time. */
  readonly counts: Partial<Readonly<Record<FaultName, number>>>
  readonly queue: 'redis' | 'postgres'
  /** Folder for what the processes print, kept. */
  readonly logs?: string | undefined
  /** Ends it before its time; everything is taken down then, too. */
  readonly signal: AbortSignal
  say(text: string): void
}

export type CampaignResult = {
  readonly verdict: Verdict
  readonly planned: Readonly<Record<FaultName, number>>
  readonly missing: readonly string[]
  readonly deaths: readonly Death[]
  readonly rows: readonly Row[]
  /** How long a task that a worker was running when it died was nobody's, in milliseconds. */
  readonly recoveries: ReadonlyMap<Death['how'], readonly number[]>
  readonly api: { readonly tookMs: readonly number[]; readonly unanswered: number; readonly refused: number }
  readonly load: Load['counts'] & { readonly images: number }
  /** Bytes of parts that S3 took, and of the objects that came of them. */
  readonly s3: { readonly taken: number; readonly kept: number }
  /** How often the processes have said what. */
  readonly said: ReadonlyMap<string, number>
  readonly queue: string
  readonly leaseSeconds: number
  readonly workers: number
  readonly quietAfterSeconds: number
}

const WORKERS = 3
/** Short, so that much can happen. */
const LEASE_SECONDS = 4
const SETTINGS = {
  LEASE_SECONDS: String(LEASE_SECONDS),
  SWEEP_SECONDS: '1',
  WORKER_CONCURRENCY: '3',
  // Workers are killed far more often than a task should have to live with.
  TASK_ATTEMPTS: '50',
  TASK_ATTEMPTS_MAX: '100',
  TASK_DEADLINE_SECONDS: '1800',
  DESTINATION_SILENCE_SECONDS: '4',
  DESTINATION_TRIES: '6'
}
/** Tasks that have not ended at any time. */
const CROWD = 14
const FASTEST_SOWING_MS = 40
/** After the last pause that a task was given. */
const LONGEST_QUIET_MS = 90_000

export async function runCampaign(options: CampaignOptions): Promise<CampaignResult> {
  const { say } = options
  const random = new Random(`torture ${options.seed}`)
  const verdict = new Verdict()
  const { queue, logs } = options
  await using ground = await prepareGround({ workers: WORKERS, queue, env: SETTINGS, logs }, random)
  for (const one of ground.missing) say(`not shown here: ${one}`)
  const disks = await makeDisks(ground.folder, random)
  const run = ground.mark.slice(-12)
  const load = new Load(ground.api, ground.stores, disks, random.fork('load'), run)

  for (const { slot } of [ground.http, ...ground.workers]) slot.start()
  const originals = await exportUndisturbed(ground, load, disks, verdict, options.signal)
  say(`${RECIPES.length} exports undisturbed; now ${options.minutes} minutes of faults`)

  const planned = countsFor(options.minutes, options.counts)
  const keepOnce = () => ground.stores.keepOnce([...originals.values()])
  await disturb(options, planned, ground, load, random, keepOnce)
  const quietSince = Date.now()
  await comeToRest(ground)
  await load.settled()
  await untilQuiet(ground, options)
  const quietAfterSeconds = Math.round((Date.now() - quietSince) / 1000)
  say(`all ended ${quietAfterSeconds} s after the last fault`)

  const evidence = { ...ground, load, originals }
  const rows = await readRows(ground.history)
  await judgeTasks(evidence, rows, verdict)
  await judgeImages(evidence, verdict)
  await sleep(3000) // files that were given up are removed by the sweep
  await Promise.all([ground.http, ...ground.workers].map(({ slot }) => slot.stop()))
  await judgeLeftovers(evidence, rows, verdict)
  await judgeService(evidence, verdict)
  judgeProcesses(ground.mark, verdict)

  const steps: readonly Step[] = await ground.history.steps()
  return {
    verdict,
    planned,
    missing: ground.missing,
    deaths: ground.deaths,
    rows: [...rows.values()],
    recoveries: recoveries(steps, ground.deaths),
    api: ground.api,
    load: { ...load.counts, images: load.images.size },
    s3: bytesAtS3(ground, [...rows.values()]),
    said: await logLines(ground.logs),
    queue: ground.redis ? 'Redis' : 'PostgreSQL',
    leaseSeconds: LEASE_SECONDS,
    workers: WORKERS,
    quietAfterSeconds
  }
}

/** What every recipe gives while nothing happens, and whether it holds the disk. */
async function exportUndisturbed(
  ground: Ground,
  load: Load,
  disks: ReadonlyMap<string, Disk>,
  verdict: Verdict,
  signal: AbortSignal
): Promise<ReadonlyMap<string, Buffer>> {
  const originals = new Map<string, Buffer>()
  const made = await Promise.all(
    RECIPES.map(async (recipe) => ({
      recipe,
      sown: await load.export('ash', await load.image(recipe.disk, 'ash'), recipe, SOUND_S3)
    }))
  )
  await untilNoneIsOngoing(ground, signal, Date.now() + 120_000)
  const rows = await readRows(ground.history)
  for (const { recipe, sown } of made) {
    const row = rows.get(sown?.id ?? '')
    const bytes = row && (await ground.stores.read(new URL(row.url), row.owner))
    const disk = disks.get(recipe.disk)
    if (!bytes || !disk) throw new Error(`${recipe.name} could not even be exported undisturbed: ${row?.message}`)
    originals.set(recipe.name, bytes)
    const holds = await holdsDisk(ground.folder, recipe, bytes, disk)
    verdict.look('qemu-img reads the source from what was exported', !holds && recipe.name)
  }
  return originals
}

/** Users export and change their minds while everything goes wrong that was planned. */
async function disturb(
  { minutes, signal, say }: CampaignOptions,
  planned: Readonly<Record<FaultName, number>>,
  ground: Ground,
  load: Load,
  random: Random,
  keepOnce: () => void
): Promise<void> {
  const spanMs = minutes * 60_000
  const uses = { ground, load, random: random.fork('faults'), leaseMs: LEASE_SECONDS * 1000 }
  const happening: Promise<unknown>[] = []
  const startedAt = Date.now()
  ground.crashNextAt(crashChooser(random.fork('crashes')))

  const sowing = (async () => {
    while (Date.now() - startedAt < spanMs && !signal.aborted) {
      const ongoing = await ground.history.ongoing()
      if (ongoing && ongoing.size < CROWD) await load.sow()
      await sleep(FASTEST_SOWING_MS)
    }
  })()
  for (const { atMs, name } of planFaults(planned, spanMs, random.fork('plan'))) {
    await sleep(Math.max(0, startedAt + atMs - Date.now()), undefined, { signal })
    happening.push(
      FAULTS[name].happen(uses).catch((error: unknown) => {
        load.faults.push(`${name}: ${error}`)
      })
    )
    if (happening.length % 25 > 0) continue
    say(`${happening.length} faults, ${load.tasks.size} tasks so far`)
    keepOnce()
  }
  await sowing
  await Promise.all(happening)
}

/** From now on nothing goes wrong any more. */
async function comeToRest(ground: Ground): Promise<void> {
  ground.crashNextAt(() => undefined)
  for (const way of [ground.stores.s3, ground.stores.flaky, ground.stores.http]) way.calm()
  for (const { database, queue } of [ground.http, ...ground.workers]) {
    database.set('open')
    queue?.set('open')
  }
}

/** Everything has ended, or has had its time: what has failed just before the rest is told to wait after it began. */
async function untilQuiet(ground: Ground, { signal, say }: CampaignOptions): Promise<void> {
  for (let turn = Date.now(); ; ) {
    await untilNoneIsOngoing(ground, signal, turn + LONGEST_QUIET_MS)
    const [last] =
      (await ground.history.rows<{ turn: number | null }>(
        `select extract(epoch from max(next_run_at))::float * 1000 as turn
           from tasks where status not in ('success', 'failure')`
      )) ?? []
    if (!(last?.turn && last.turn > turn)) return
    turn = last.turn
    say(`a task has been told to wait until ${new Date(turn).toISOString()}`)
  }
}

async function untilNoneIsOngoing({ history }: Ground, signal: AbortSignal, giveUpAt: number): Promise<void> {
  while ((await history.ongoing())?.size !== 0 && Date.now() < giveUpAt) await sleep(200, undefined, { signal })
}

function bytesAtS3({ stores }: Ground, rows: readonly Row[]): { taken: number; kept: number } {
  const sent = rows.filter(({ status, url }) => status === 'success' && url.startsWith('s3:'))
  return {
    taken: sent.reduce((sum, { url }) => sum + stores.taken(new URL(url)), 0),
    kept: sent.reduce((sum, { result }) => sum + (result?.bytes ?? 0), 0)
  }
}
