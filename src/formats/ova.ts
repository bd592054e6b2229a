import { createHash } from 'node:crypto'
import { KiB, roundUp } from '../domain/bytes.ts'
import type { ToldProperties } from './format-family.ts'
import { ovfDescriptor } from './ovf.ts'
import type { BodyDigest, PackedFormat, Packer, Packing } from './packing.ts'
import { streamOptimizedVmdk } from './stream-optimized.ts'
import { tarEnd, tarHeader, tarPadding } from './tar.ts'

const NAMES = { ovf: 'disk.ovf', vmdk: 'disk.vmdk', manifest: 'disk.mf' }
/** The descriptor is padded to a multiple of this, so that its length does not hang on the length of the disk that it states. */
const OVF_PADDING = 4 * KiB
/** Digits of the longest length there is. */
const MOST = Number.MAX_SAFE_INTEGER
const HEADER_BYTES = 512

/**
 * OVA: a tar of an OVF descriptor, the disk as streamOptimized VMDK, and a manifest with the SHA-256 of both, last as the
 * standard allows for streams. The descriptor and the disk's tar header state the disk's length, so they are the head.
 * @param told properties of the image that the descriptor may hold
 * @see https://www.dmtf.org/sites/default/files/standards/documents/DSP0243_2.1.1.pdf section 6.3
 */
export function ova(level: number, told: ToldProperties = {}): PackedFormat {
  const longest = ovfDescriptor({ file: NAMES.vmdk, fileBytes: MOST, virtualSize: MOST }, told)
  const ovfBytes = roundUp(Buffer.byteLength(longest), OVF_PADDING)
  const vmdk = streamOptimizedVmdk(level)
  return {
    name: 'ova',
    extension: 'ova',
    mediaType: 'application/ovf',
    bare: false,
    packing(map) {
      const disk = vmdk.packing(map)
      return {
        codec: disk.codec,
        units: disk.units,
        storesUnpacked: disk.storesUnpacked,
        tailHoldsDigest: true,
        headBytes: HEADER_BYTES + ovfBytes + HEADER_BYTES,
        maxLength: disk.maxLength + ovfBytes + 8 * KiB,
        start: () => new OvaPacker(disk, map.virtualSize, told, ovfBytes)
      } satisfies Packing
    }
  }
}

class OvaPacker implements Packer {
  readonly #vmdk: Packer
  readonly #virtualSize: number
  readonly #told: ToldProperties
  readonly #ovfBytes: number
  #vmdkBytes = 0

  constructor(disk: Packing, virtualSize: number, told: ToldProperties, ovfBytes: number) {
    this.#vmdk = disk.start()
    this.#virtualSize = virtualSize
    this.#told = told
    this.#ovfBytes = ovfBytes
  }

  add(unit: number, packedBytes: number) {
    const frame = this.#vmdk.add(unit, packedBytes)
    this.#vmdkBytes += frame.before.length + packedBytes + frame.zerosAfter
    return frame
  }

  *tail(digest: BodyDigest): Generator<Uint8Array> {
    const rest = [...this.#vmdk.tail(() => '')]
    for (const bytes of rest) this.#vmdkBytes += bytes.length
    yield* rest
    yield tarPadding(this.#vmdkBytes)

    const ovf = createHash('sha256').update(this.#ovf()).digest('hex')
    const manifest = Buffer.from(`SHA256(${NAMES.ovf})= ${ovf}\nSHA256(${NAMES.vmdk})= ${digest(rest)}\n`)
    yield tarHeader(NAMES.manifest, manifest.length)
    yield manifest
    yield tarPadding(manifest.length)
    yield tarEnd()
  }

  *head(): Generator<Uint8Array> {
    yield tarHeader(NAMES.ovf, this.#ovfBytes)
    yield this.#ovf()
    yield tarHeader(NAMES.vmdk, this.#vmdkBytes)
  }

  #ovf(): Uint8Array {
    const disk = { file: NAMES.vmdk, fileBytes: this.#vmdkBytes, virtualSize: this.#virtualSize }
    const text = ovfDescriptor(disk, this.#told)
    return Buffer.alloc(this.#ovfBytes, '\n').fill(text, 0, Buffer.byteLength(text))
  }
}
