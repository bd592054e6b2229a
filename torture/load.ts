import { setTimeout as sleep } from 'node:timers/promises'
import { MiB } from '../src/domain/bytes.ts'
import type { Json } from '../test/support/service.ts'
import type { Api } from './api.ts'
import { type Disk, RECIPES, type Recipe } from './images.ts'
import type { Random } from './random.ts'
import type { Stores } from './stores.ts'
import { TARGETS_BY_SHARE, type Target } from './targets.ts'

const PROJECTS = ['ash', 'birch', 'cedar', 'elm'] as const

/** A task that was made, and what is to become of it. */
export type Sown = {
  readonly id: string
  readonly project: string
  readonly recipe: Recipe
  readonly target: Target
  /** Its cancel was accepted: then it must not succeed. */
  canceled: boolean
}

export type LoadCounts = {
  cancels: number
  refusedCancels: number
  deletes: number
  lockedImages: number
  gone: number
}

/** What users do: they export, change their minds, and delete images that are in use. */
export class Load {
  readonly tasks = new Map<string, Sown>()
  readonly counts: LoadCounts = { cancels: 0, refusedCancels: 0, deletes: 0, lockedImages: 0, gone: 0 }
  /** What could not be done, and should have been. */
  readonly faults: string[] = []
  /** Ids of the images by disk and project. */
  readonly images = new Map<string, string>()
  readonly #api: Api
  readonly #stores: Stores
  readonly #disks: ReadonlyMap<string, Disk>
  readonly #random: Random
  readonly #run: string
  readonly #doing = new Set<Promise<unknown>>()
  #made = 0

  constructor(api: Api, stores: Stores, disks: ReadonlyMap<string, Disk>, random: Random, run: string) {
    this.#api = api
    this.#stores = stores
    this.#disks = disks
    this.#random = random
    this.#run = run
  }

  /** @returns the image of this disk in that project, uploaded the first time */
  async image(disk: string, project: string): Promise<string> {
    const known = this.images.get(`${disk} ${project}`)
    if (known) return known
    const { file, diskFormat } = this.#disk(disk)
    const id = await this.#upload(project, file, diskFormat)
    this.images.set(`${disk} ${project}`, id)
    return id
  }

  /** Makes a task; undefined when the image has gone. */
  async export(
    project: string,
    image: string,
    recipe: Recipe,
    target: Target,
    more: Json = {}
  ): Promise<Sown | undefined> {
    const wish = { task_type: 'export', image_uuid: image, ...recipe.wish, ...target.where(this.#stores), ...more }
    const once = { 'idempotency-key': `${this.#run}-${++this.#made}` }
    const { status, body } = await this.#api.call(project, 'POST', '/v2/tasks', wish, once)
    if (status === 404 || status === 409) return undefined
    if (status !== 201) throw new Error(`POST /v2/tasks answered ${status}: ${JSON.stringify(body)}`)
    const sown: Sown = { id: String(body.id), project, recipe, target, canceled: false }
    this.tasks.set(sown.id, sown)
    return sown
  }

  /** One more export of a user, who may cancel it. */
  sow(): Promise<void> {
    return this.#sow().catch((error: unknown) => {
      this.faults.push(String(error))
    })
  }

  async #sow(): Promise<void> {
    const random = this.#random
    const target = random.pick(TARGETS_BY_SHARE)
    const fits = ({ packed, disk }: Recipe) =>
      (target.packed ? packed : true) && (target.small ? disk === 'small' : true)
    const recipe = random.pick(RECIPES.filter(fits))
    const project = random.pick(PROJECTS)
    const more = {
      priority: random.pick(['low', 'normal']),
      // Otherwise most would be sent before anything can happen to them.
      limits: { bandwidth_bps: random.integer(6, 40) * MiB }
    }
    const cancelAfterMs = random.chance(0.12) ? random.integer(0, 4000) : undefined
    const sown = await this.export(project, await this.image(recipe.disk, project), recipe, target, more)
    if (sown && cancelAfterMs !== undefined) this.#later(sleep(cancelAfterMs).then(() => this.cancel(sown)))
  }

  async cancel(sown: Sown): Promise<void> {
    const { status } = await this.#api.call(sown.project, 'POST', `/v2/tasks/${sown.id}/cancel`, { reason: 'torture' })
    this.counts.cancels += 1
    if (status === 202) sown.canceled = true
    else this.counts.refusedCancels += 1
  }

  /** One project cancels everything at once. */
  cancelStorm(ongoing: ReadonlySet<string>): void {
    const project = this.#random.pick(PROJECTS)
    for (const sown of this.tasks.values())
      if (sown.project === project && ongoing.has(sown.id)) this.#later(this.cancel(sown))
  }

  /** An image is exported and deleted by many at the same time. */
  deleteStorm(): void {
    this.#later(this.#deleteStorm())
  }

  async #deleteStorm(): Promise<void> {
    const project = this.#random.pick(PROJECTS)
    const recipe = RECIPES.find(({ name }) => name === 'small raw')
    const target = TARGETS_BY_SHARE[0]
    if (!recipe || !target) throw new Error('the recipe and the target of delete storms are gone')
    const image = await this.#upload(project, this.#disk('small').file, 'raw')
    const turns = Array.from({ length: 8 }, (_, turn) => ({ turn, afterMs: this.#random.integer(0, 300) }))
    await Promise.all(
      turns.map(async ({ turn, afterMs }) => {
        await sleep(afterMs)
        if (turn % 4 === 0) await this.export(project, image, recipe, target)
        else await this.#delete(project, image)
      })
    )
    // In the end the image can be deleted: nothing holds it for ever.
    this.images.set(`${image} ${project}`, image)
  }

  async #delete(project: string, image: string): Promise<void> {
    const { status } = await this.#api.call(project, 'DELETE', `/v2/images/${image}`)
    if (status === 204) this.counts.deletes += 1
    else if (status === 409) this.counts.lockedImages += 1
    else if (status === 404) this.counts.gone += 1
    else throw new Error(`DELETE of an image answered ${status}`)
  }

  /** Returns when everything that was begun is done. */
  async settled(): Promise<void> {
    while (this.#doing.size > 0) await Promise.all(this.#doing)
  }

  #later(work: Promise<unknown>): void {
    const doing = work
      .catch((error: unknown) => this.faults.push(String(error)))
      .finally(() => this.#doing.delete(doing))
    this.#doing.add(doing)
  }

  #disk(name: string): Disk {
    const disk = this.#disks.get(name)
    if (!disk) throw new Error(`there is no disk ${name}`)
    return disk
  }

  async #upload(project: string, file: Buffer, diskFormat: string): Promise<string> {
    const about = { name: 'torture', disk_format: diskFormat, container_format: 'bare' }
    for (;;) {
      const { body } = await this.#api.call(project, 'POST', '/v2/images', about)
      const id = String(body.id)
      const { status } = await this.#api.call(project, 'PUT', `/v2/images/${id}/file`, file)
      if (status === 204) return id
      // Its answer was lost, or the API was killed on the way: begun anew.
      await this.#api.call(project, 'DELETE', `/v2/images/${id}`)
    }
  }
}
