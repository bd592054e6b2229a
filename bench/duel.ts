import { type BenchCase, type Protocol, TUNED, type Tuning } from './cases.ts'
import { baselineOnce, oursOnce, type Sample } from './contenders.ts'
import type { BenchImage } from './images.ts'
import type { Service } from './service.ts'
import type { Sink } from './sinks.ts'

/** Samples in the order of the rounds; those of one round belong together. */
export type CaseResult = {
  readonly case: BenchCase
  readonly ours: readonly { readonly protocol: Protocol; readonly samples: readonly Sample[] }[]
  readonly theirs: readonly { readonly tuning: Tuning; readonly samples: readonly Sample[] }[]
}

export type Ground = {
  readonly service: Service
  readonly images: ReadonlyMap<string, BenchImage>
  readonly sinkFor: (bytesPerSecond: number | undefined) => Promise<Sink>
  /** Pids of all sinks: what they use belongs to nobody. */
  readonly sinkPids: ReadonlySet<number>
  readonly measured: string
  readonly scratch: string
  readonly workerFlags: readonly string[]
}

/**
 * All contenders of a case, one after the other, in each of `rounds` rounds after one that does not count. The worker is new,
 * so that its memory tells of this case only; the round that does not count warms it.
 */
export async function duel(ground: Ground, one: BenchCase, rounds: number): Promise<CaseResult> {
  const { service, measured, scratch } = ground
  const image = imageOf(ground, one.image)
  const sink = await ground.sinkFor(one.rate)
  const ours = one.protocols.map((protocol) => ({ protocol, samples: [] as Sample[] }))
  const theirs = one.tunings.map((tuning) => ({ tuning, samples: [] as Sample[] }))
  const worker = await service.startWorker({ flags: ground.workerFlags })
  try {
    for (let round = 0; round <= rounds; round++) {
      for (const { protocol, samples } of ours) {
        const wish = { imageId: image.id, format: one.format, options: one.options, place: sink.places[protocol] }
        samples.push(await oursOnce(service, worker, [wish], sink, ground.sinkPids))
      }
      for (const { tuning, samples } of theirs) {
        const qemu = tuning === 'tuned' ? [...TUNED, ...one.qemu] : one.qemu
        samples.push(await baselineOnce(measured, scratch, image, qemu, sink))
      }
    }
  } finally {
    await worker.stop()
  }
  for (const { samples } of [...ours, ...theirs]) samples.shift()
  return { case: one, ours, theirs }
}

/**
 * Node keeps what it has compiled for the next start, threads included: without, the first case would measure what happens
 * once after an installation.
 */
export async function fillCompileCache(ground: Ground): Promise<void> {
  const [smallest] = [...ground.images.values()].sort((a, b) => a.allocatedBytes - b.allocatedBytes)
  if (!smallest) return
  const { places } = await ground.sinkFor(undefined)
  const worker = await ground.service.startWorker()
  for (const options of [{}, { compression: 'zlib' }]) {
    await worker.export({ imageId: smallest.id, format: 'qcow2', options, place: places.s3 })
  }
  await worker.stop()
}

export function imageOf({ images }: Ground, name: string): BenchImage {
  const image = images.get(name)
  if (!image) throw new Error(`there is no image ${name}`)
  return image
}
