import type { Upload } from '../destinations/destination.ts'
import type { Disk } from '../disks/disk.ts'
import { AllocationMap } from '../formats/allocation-map.ts'
import type { Format } from '../formats/format.ts'
import type { PackedFormat } from '../formats/packing.ts'
import type { Engine } from './engine.ts'
import { measure } from './pack-file.ts'
import { type Transferred, transfer } from './transfer.ts'
import { transferMeasured } from './transfer-measured.ts'
import { transferPacked } from './transfer-packed.ts'

/**
 * A file that is ready to be sent: as much of its length as can be known before its first byte, and the way to send it, once.
 * Disposing frees what a first pass has kept.
 */
export type Shipment = Disposable & {
  /** Bytes; the most it can have where `exact` is false. */
  readonly length: number
  readonly exact: boolean
  /** Whether a first pass over the disk was made to prepare it. */
  readonly measured: boolean
  /** Sends every part; `commit` and `abort` stay with the caller. Throws what went wrong first, with nothing under way. */
  send(upload: Upload, signal: AbortSignal, onShare: OnShare): Promise<Transferred>
}

/** Told how much of a pass is done, 0 to 1. */
export type OnShare = (share: number) => void

const sharesOf = (total: number, onShare: OnShare) => {
  let done = 0
  return (bytes: number) => {
    done += bytes
    onShare(Math.min(1, done / total))
  }
}

/**
 * Chooses how the file is made. Laid out: in one pass, nothing compressed. Packed, to a destination that takes parts in any
 * order: in one pass, the head last. Packed, as one body: in two passes, the first of which is made here and keeps in memory
 * what it makes, where that is little: then the second only sends it. Never a local copy.
 * @param anyOrder what the destination takes, see `Destination.anyOrder`
 * @param onShare told of that first pass
 */
export async function prepareShipment(
  { disk, format }: { readonly disk: Disk; readonly format: Format | PackedFormat },
  anyOrder: boolean,
  engine: Engine,
  signal: AbortSignal,
  onShare: OnShare
): Promise<Shipment> {
  const map = await AllocationMap.of(disk)
  if ('layout' in format) {
    const layout = format.layout(map)
    const { length } = layout
    return {
      length,
      exact: true,
      measured: false,
      [Symbol.dispose]() {},
      send: (upload, stop, onShare) => transfer({ layout, disk }, upload, engine, stop, sharesOf(length, onShare))
    }
  }
  const packing = format.packing(map)
  const source = { packing, disk }
  const dataBytes = packing.units.total * packing.units.unitBytes
  if (anyOrder) {
    return {
      length: packing.maxLength,
      exact: false,
      measured: false,
      [Symbol.dispose]() {},
      send: (upload, stop, onShare) => transferPacked(source, upload, engine, stop, sharesOf(dataBytes, onShare))
    }
  }
  const first = await measure(source, engine, signal, sharesOf(dataBytes, onShare))
  return {
    length: first.length,
    exact: true,
    measured: true,
    [Symbol.dispose]: () => first.body[Symbol.dispose](),
    send: (upload, stop, onShare) =>
      transferMeasured(source, first, upload, engine.compressors, stop, sharesOf(dataBytes, onShare))
  }
}
