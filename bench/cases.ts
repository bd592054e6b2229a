import type { Json } from '../test/support/service.ts'
import type { ImageName } from './images.ts'

export type Protocol = 'http' | 's3'
export type Tuning = 'default' | 'tuned'

/** One kind of export, made by us over each protocol and by qemu-img + curl, in turns. */
export type BenchCase = {
  readonly name: string
  readonly image: ImageName
  readonly format: string
  readonly options: Json
  /** `qemu-img convert` arguments for the same output. */
  readonly qemu: readonly string[]
  /** `tuned` adds `-W -m 16`. */
  readonly tunings: readonly Tuning[]
  readonly protocols: readonly Protocol[]
  /** Bytes a second that the line carries; no limit when left out. */
  readonly rate?: number
  readonly targets: Targets
  readonly quick?: boolean
}

/** The most that is aimed at; ratios are ours to qemu-img + curl. */
type Targets = {
  readonly wall: { readonly [tuning in Tuning]?: number }
  /** Of the time that the bytes alone take on the line. */
  readonly line?: number
  readonly bytes: number
  /** MiB of the worker's memory. */
  readonly rssMiB: number
}

export const TUNED: readonly string[] = ['-W', '-m', '16']

type Output = Pick<BenchCase, 'format' | 'options' | 'qemu'> & { readonly label: string }
const output = (label: string, format: string, options: Json, ...qemu: string[]): Output => ({
  label,
  format,
  options,
  qemu
})

const qcow2 = output('qcow2', 'qcow2', {}, '-O', 'qcow2')
const raw = output('raw', 'raw', {}, '-O', 'raw')
const vhdDynamic = output('vhd dynamic', 'vhd', { subformat: 'dynamic' }, '-O', 'vpc', '-o', 'subformat=dynamic')
const vhdFixed = output('vhd fixed', 'vhd', { subformat: 'fixed' }, '-O', 'vpc', '-o', 'subformat=fixed,force_size=on')
const vhdx = output('vhdx', 'vhdx', {}, '-O', 'vhdx')
const vdi = output('vdi', 'vdi', {}, '-O', 'vdi')
const sparse = { subformat: 'monolithicSparse' }
const vmdk = output('vmdk sparse', 'vmdk', sparse, '-O', 'vmdk', '-o', 'subformat=monolithicSparse')
const stream = { subformat: 'streamOptimized' }
const streamOptimized = output('vmdk stream', 'vmdk', stream, '-O', 'vmdk', '-o', 'subformat=streamOptimized')
const zlib = output('qcow2 zlib', 'qcow2', { compression: 'zlib' }, '-O', 'qcow2', '-c')
const zstd = output('qcow2 zstd', 'qcow2', { compression: 'zstd' }, '-O', 'qcow2', '-c', '-o', 'compression_type=zstd')

type More = Partial<Pick<BenchCase, 'tunings' | 'protocols' | 'rate' | 'quick'>> & { readonly targets: Targets }

const from = (image: ImageName, { label, ...rest }: Output, more: More): BenchCase => ({
  name: `${image} -> ${label}${more.rate === undefined ? '' : ` at ${more.rate / 1e6} MB/s`}`,
  image,
  ...rest,
  tunings: ['default', 'tuned'],
  protocols: ['http'],
  ...more
})

const laidOut = { bytes: 1, rssMiB: 128 }
const packed = { bytes: 1.03, rssMiB: 256 }
export const isLaidOut = ({ targets }: BenchCase): boolean => targets.rssMiB === laidOut.rssMiB
/** Above 2 GB of data. */
const large = { tunings: ['tuned'], targets: { wall: { tuned: 0.45 }, ...laidOut } } as const
/** Below 1 GB, cached, in a running worker. */
const small = { targets: { wall: { tuned: 0.9 }, ...laidOut } }
/** The whole virtual disk goes over the line, zeros included. */
const full = { targets: { wall: { tuned: 0.27 }, ...laidOut } }
const bothWays = { protocols: ['http', 's3'] } as const

export const CASES: readonly BenchCase[] = [
  from('syn.raw', qcow2, { ...large, tunings: ['default', 'tuned'] }),
  from('syn.qcow2', qcow2, { ...large, tunings: ['default', 'tuned'] }),
  from('syn.qcow2', vhdDynamic, large),
  from('syn.qcow2', vhdx, large),
  from('syn.qcow2', vdi, large),
  from('syn.qcow2', vmdk, large),
  from('syn.raw', qcow2, {
    tunings: ['tuned'],
    rate: 300e6,
    targets: { wall: {}, line: 1.03, ...laidOut }
  }),
  from('debian.raw', qcow2, { ...small, quick: true }),
  from('debian.qcow2', qcow2, { ...small, quick: true }),
  from('debian.qcow2', vhdDynamic, small),
  from('debian.qcow2', vhdx, small),
  from('debian.qcow2', vdi, small),
  from('debian.qcow2', vmdk, small),
  from('debian.qcow2', raw, { ...full, quick: true }),
  from('debian.qcow2', vhdFixed, full),
  from('slice.raw', zlib, {
    ...bothWays,
    targets: { wall: { tuned: 0.4, default: 0.2 }, ...packed },
    quick: true
  }),
  from('slice.raw', zstd, { ...bothWays, targets: { wall: { tuned: 0.95 }, ...packed }, quick: true }),
  // qemu-img writes streamOptimized in one thread, whatever it is told.
  from('slice.raw', streamOptimized, {
    ...bothWays,
    tunings: ['default'],
    targets: { wall: { default: 0.2 }, ...packed },
    quick: true
  })
]
