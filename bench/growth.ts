import type { Protocol } from './cases.ts'
import { oursOnce, type Sample } from './contenders.ts'
import { type Ground, imageOf } from './duel.ts'
import type { GrowthName } from './images.ts'

export const GROWTH_GIB = [1, 4, 16, 64, 1024] as const
export const growthImage = (sizeGiB: number): GrowthName => `growth-${sizeGiB}GiB.qcow2`

const WAYS = [
  { label: 'qcow2 to HTTP', protocol: 'http', options: {} },
  { label: 'qcow2 zlib to S3', protocol: 's3', options: { compression: 'zlib' } }
] as const satisfies readonly { label: string; protocol: Protocol; options: object }[]

export type GrowthRow = { readonly way: string; readonly sizeGiB: number; readonly dataBytes: number } & Sample
export type CrowdRow = { readonly way: string; readonly exports: number } & Sample

/** One export of each size by a new worker that has been warmed with the smallest. */
export async function growBySize(ground: Ground): Promise<GrowthRow[]> {
  const rows: GrowthRow[] = []
  for (const way of WAYS)
    for (const sizeGiB of GROWTH_GIB) {
      const { allocatedBytes } = imageOf(ground, growthImage(sizeGiB))
      const sample = await together(ground, way, growthImage(sizeGiB), growthImage(GROWTH_GIB[0]), 1)
      rows.push({ way: way.label, sizeGiB, dataBytes: allocatedBytes, ...sample })
    }
  return rows
}

/** Several exports at once by one worker: its throughput and its memory. */
export async function growByCrowd(ground: Ground): Promise<CrowdRow[]> {
  const rows: CrowdRow[] = []
  for (const [way, image] of [
    [WAYS[0], 'debian.qcow2'],
    [WAYS[1], 'slice.raw']
  ] as const)
    for (const exports of [1, 2, 4, 8])
      rows.push({ way: `${image} -> ${way.label}`, exports, ...(await together(ground, way, image, image, exports)) })
  return rows
}

async function together(ground: Ground, way: (typeof WAYS)[number], image: string, warmUp: string, exports: number) {
  const sink = await ground.sinkFor(undefined)
  const wish = (name: string) => ({
    imageId: imageOf(ground, name).id,
    format: 'qcow2',
    options: way.options,
    place: sink.places[way.protocol]
  })
  const worker = await ground.service.startWorker({ flags: ground.workerFlags })
  try {
    await worker.export(wish(warmUp))
    const wishes = Array.from({ length: exports }, () => wish(image))
    return await oursOnce(ground.service, worker, wishes, sink, ground.sinkPids)
  } finally {
    await worker.stop()
  }
}
