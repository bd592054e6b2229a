import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { KiB, MiB } from '../src/domain/bytes.ts'
import { qemuImg } from '../test/support/qemu-img.ts'
import type { Json } from '../test/support/service.ts'
import type { Random } from './random.ts'

/** A disk to be exported: its content, and the file that holds it. */
export type Disk = {
  readonly name: string
  readonly diskFormat: 'raw' | 'qcow2'
  /** Of the image that is uploaded. */
  readonly file: Buffer
  readonly content: Buffer
}

/** One of the exports that are made over and over: the same wish gives the same bytes, whatever happens meanwhile. */
export type Recipe = {
  readonly name: string
  readonly disk: string
  readonly wish: Json
  /** As qemu-img calls the written format. */
  readonly qemuFormat: string
  /** Compressed on the way: it can be kept for download, and not made again in ranges. */
  readonly packed: boolean
}

export const RECIPES: readonly Recipe[] = [
  { name: 'large raw', disk: 'large', wish: { export_format: 'raw' }, qemuFormat: 'raw', packed: false },
  { name: 'large qcow2', disk: 'large', wish: { export_format: 'qcow2' }, qemuFormat: 'qcow2', packed: false },
  { name: 'large vhdx', disk: 'large', wish: { export_format: 'vhdx' }, qemuFormat: 'vhdx', packed: false },
  {
    name: 'large zstd qcow2',
    disk: 'large',
    wish: { export_format: 'qcow2', format_options: { compression: 'zstd' } },
    qemuFormat: 'qcow2',
    packed: true
  },
  {
    name: 'mixed stream-optimized vmdk',
    disk: 'mixed',
    wish: { export_format: 'vmdk', format_options: { subformat: 'streamOptimized' } },
    qemuFormat: 'vmdk',
    packed: true
  },
  { name: 'mixed vdi', disk: 'mixed', wish: { export_format: 'vdi' }, qemuFormat: 'vdi', packed: false },
  { name: 'small raw', disk: 'small', wish: { export_format: 'raw' }, qemuFormat: 'raw', packed: false },
  { name: 'small qcow2', disk: 'small', wish: { export_format: 'qcow2' }, qemuFormat: 'qcow2', packed: false }
]

/** Three disks: three parts of noise; noise, text and holes in a qcow2; and one that is sent in no time. */
export async function makeDisks(folder: string, random: Random): Promise<ReadonlyMap<string, Disk>> {
  const large = random.fork('large').bytes(40 * MiB)
  const noise = random.fork('mixed').bytes(20 * MiB)
  const mixed = Buffer.concat([noise, Buffer.alloc(24 * MiB), Buffer.alloc(4 * MiB, 'some text that repeats; ')])
  const small = Buffer.concat([random.fork('small').bytes(256 * KiB), Buffer.alloc(768 * KiB)])
  const disks: Disk[] = [
    { name: 'large', diskFormat: 'raw', file: large, content: large },
    { name: 'mixed', diskFormat: 'qcow2', file: await asQcow2(folder, mixed), content: mixed },
    { name: 'small', diskFormat: 'raw', file: small, content: small }
  ]
  return new Map(disks.map((disk) => [disk.name, disk]))
}

async function asQcow2(folder: string, content: Buffer): Promise<Buffer> {
  const [raw, qcow2] = [join(folder, 'disk.raw'), join(folder, 'disk.qcow2')]
  await writeFile(raw, content)
  await qemuImg('convert', '-f', 'raw', '-O', 'qcow2', raw, qcow2)
  return readFile(qcow2)
}

/** Whether qemu-img finds in an exported file what is on the disk, and nothing else. */
export async function holdsDisk(folder: string, { qemuFormat }: Recipe, file: Buffer, disk: Disk): Promise<boolean> {
  const [exported, back] = [join(folder, 'exported'), join(folder, 'back.raw')]
  await writeFile(exported, file)
  await qemuImg('convert', '-f', qemuFormat, '-O', 'raw', exported, back)
  return (await readFile(back)).equals(disk.content)
}
