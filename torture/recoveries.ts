import { setTimeout as sleep } from 'node:timers/promises'
import { MiB } from '../src/domain/bytes.ts'
import type { CampaignOptions } from './campaign.ts'
import { prepareGround } from './ground.ts'
import { recoveries } from './history.ts'
import { makeDisks, RECIPES } from './images.ts'
import { Load } from './load.ts'
import { Random } from './random.ts'
import { SOUND_S3 } from './targets.ts'

/** The lease, and one sweep, and the time to start: what the default settings promise. */
const PROMISED_MS = 45_000

export type Recoveries = { readonly tookMs: readonly number[]; readonly late: boolean }

/** By default settings: how long after kill -9 of its worker a task is claimed by another. All of them are killed one by one. */
export async function measureRecoveries(
  count: number,
  { seed, queue, signal, say }: Pick<CampaignOptions, 'seed' | 'queue' | 'signal' | 'say'>
): Promise<Recoveries> {
  say(`${count} recoveries by default settings`)
  const random = new Random(`recoveries ${seed}`)
  await using ground = await prepareGround({ workers: count + 1, queue, env: { WORKER_CONCURRENCY: '1' } }, random)
  const disks = await makeDisks(ground.folder, random)
  const load = new Load(ground.api, ground.stores, disks, random, ground.mark.slice(-12))
  for (const { slot } of [ground.http, ...ground.workers]) slot.start()
  const recipe = RECIPES.find(({ name }) => name === 'large raw')
  if (!recipe) throw new Error('the recipe of recoveries is gone')

  const image = await load.image(recipe.disk, 'ash')
  const slow = { limits: { bandwidth_bps: MiB / 2 } }
  for (let number = 0; number < count; number += 1) await load.export('ash', image, recipe, SOUND_S3, slow)
  const running = async () => {
    const rows = await ground.history.rows<{ worker: string }>(`select worker from tasks where status = 'transferring'`)
    return new Set(rows?.map(({ worker }) => worker))
  }
  let held = await running()
  for (let look = 0; held.size < count && look < 300; look += 1) {
    await sleep(200, undefined, { signal })
    held = await running()
  }
  for (const { slot } of ground.workers) {
    if (!held.has(slot.workerId)) continue
    slot.kill()
    await sleep(random.integer(500, 3000))
  }
  const found = async () => [...recoveries(await ground.history.steps(), ground.deaths).values()].flat()
  const giveUpAt = Date.now() + 2 * PROMISED_MS
  while ((await found()).length < held.size && Date.now() < giveUpAt) await sleep(500, undefined, { signal })
  const tookMs = await found()
  return { tookMs, late: tookMs.length < held.size || held.size === 0 || tookMs.some((ms) => ms > PROMISED_MS) }
}
