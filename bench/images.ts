import { execFile } from 'node:child_process'
import { createReadStream } from 'node:fs'
import { mkdir, open, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'
import { GiB, MiB, TiB } from '../src/domain/bytes.ts'
import { type DiskImageOptions, makeDiskImage } from '../test/support/disk-image.ts'
import { qemuImg } from '../test/support/qemu-img.ts'
import type { Service } from './service.ts'

const run = promisify(execFile)

export type ImageName = 'debian.raw' | 'debian.qcow2' | 'syn.raw' | 'syn.qcow2' | 'slice.raw' | GrowthName
export type GrowthName = `growth-${number}GiB.qcow2`

/** An image in the service's library. The baselines read the very file that the library keeps. */
export type BenchImage = {
  readonly name: ImageName
  readonly id: string
  readonly path: string
  readonly diskFormat: string
  /** Bytes that the file occupies. */
  readonly allocatedBytes: number
}

type Real = Omit<DiskImageOptions, 'path'>

/** Real disks: GPT, ext4, files of this machine. Sorted differently, so that they are of different kinds. */
const REAL: Readonly<Record<string, Real>> = {
  debian: { sizeMiB: 3 * 1024, contentMiB: 520, sources: ['/usr/bin', '/usr/share', '/usr/lib'] },
  syn: { sizeMiB: 8 * 1024, contentMiB: 2200, sources: ['/usr/lib', '/usr/share', '/usr/local', '/opt'] },
  slice: { sizeMiB: 1024, contentMiB: 130, sources: ['/usr/bin', '/usr/lib'] }
}

/** Of a growing image: data in runs of 1 MiB, a sixteenth of the disk; of the largest only as much as fits a test. */
const RUN_BYTES = MiB
const GROWTH_SPACING: Readonly<Record<number, number>> = { [TiB / GiB]: 16 * GiB }
const DEFAULT_SPACING = 16 * MiB

/** Makes what is not in the library yet, and reads it once so that the page cache has it. */
export async function provideImages(
  service: Service,
  folder: string,
  names: readonly ImageName[],
  log: (text: string) => void
): Promise<ReadonlyMap<ImageName, BenchImage>> {
  const images = new Map<ImageName, BenchImage>()
  for (const name of names) {
    const known = await inLibrary(service, name)
    if (!known) log(`making ${name}`)
    const image = known ?? (await makeImage(service, folder, name))
    await pipeline(createReadStream(image.path, { highWaterMark: MiB }), nothing())
    images.set(name, image)
  }
  return images
}

const nothing = () => new Writable({ write: (_chunk, _encoding, done) => done() })

async function inLibrary({ client, dataDir }: Service, name: ImageName): Promise<BenchImage | undefined> {
  const { body } = await client.call('GET', `/v2/images?status=active&name=${name}`)
  const [found] = body.images as { id: string; disk_format: string }[]
  if (!found) return undefined
  const folder = join(dataDir, 'images', found.id)
  const [upload = ''] = await readdir(folder)
  const path = join(folder, upload, 'data')
  const { blocks } = await stat(path)
  return { name, id: found.id, path, diskFormat: found.disk_format, allocatedBytes: blocks * 512 }
}

async function makeImage(service: Service, folder: string, name: ImageName): Promise<BenchImage> {
  const scratch = join(folder, 'making')
  await rm(scratch, { recursive: true, force: true })
  await mkdir(scratch, { recursive: true })
  try {
    await upload(service, name, await makeFile(service, scratch, name))
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
  const image = await inLibrary(service, name)
  if (!image) throw new Error(`${name} is not in the library after its upload`)
  return image
}

async function makeFile(service: Service, scratch: string, name: ImageName): Promise<string> {
  const [kind = '', diskFormat = ''] = name.split('.')
  const path = join(scratch, name)
  if (diskFormat === 'raw') {
    await makeDiskImage({ path, ...REAL[kind] })
    return path
  }
  const growth = /^growth-(\d+)GiB$/.exec(kind)
  const raw = join(scratch, 'source.raw')
  if (growth) await makeSpread(service, raw, Number(growth[1]))
  const source = growth ? raw : (await rawOf(service, scratch, kind as 'debian' | 'syn')).path
  await qemuImg('convert', '-f', 'raw', '-O', 'qcow2', source, path)
  return path
}

async function rawOf(service: Service, scratch: string, kind: 'debian' | 'syn'): Promise<BenchImage> {
  return (await inLibrary(service, `${kind}.raw`)) ?? makeImage(service, join(scratch, kind), `${kind}.raw`)
}

/** A sparse disk of so many GiB with runs of real data at equal distances, none at a place it had in its source. */
async function makeSpread(service: Service, path: string, sizeGiB: number): Promise<void> {
  const { path: sourcePath } = await rawOf(service, join(path, '..'), 'syn')
  await using source = await open(sourcePath)
  await using target = await open(path, 'wx')
  await target.truncate(sizeGiB * GiB)
  const run = Buffer.alloc(RUN_BYTES)
  const { size } = await source.stat()
  let from = 64 * MiB
  const spacing = GROWTH_SPACING[sizeGiB] ?? DEFAULT_SPACING
  for (let at = 0; at < sizeGiB * GiB; at += spacing) {
    do {
      from = (from + RUN_BYTES) % size
      await source.read(run, 0, RUN_BYTES, from)
    } while (run.subarray(0, 4096).every((byte) => byte === 0))
    await target.write(run, 0, RUN_BYTES, at)
  }
}

async function upload({ client, url }: Service, name: ImageName, path: string): Promise<void> {
  const diskFormat = name.slice(name.indexOf('.') + 1)
  const created = await client.call('POST', '/v2/images', {
    name,
    disk_format: diskFormat,
    container_format: 'bare'
  })
  await run('curl', [
    ...['--silent', '--show-error', '--fail', '--upload-file', path],
    ...['--header', 'x-auth-token: alice:demo:member', '--header', 'content-type: application/octet-stream'],
    `${url}/v2/images/${created.body.id}/file`
  ])
}
