import type { Disk } from '../disks/disk.ts'
import { AllocationMap } from '../formats/allocation-map.ts'
import type { Format } from '../formats/format.ts'
import type { PackedFormat } from '../formats/packing.ts'
import type { Engine } from './engine.ts'
import { measure, type PackedSource } from './pack-file.ts'
import type { Sending } from './sending.ts'
import { transfer } from './transfer.ts'
import { transferMeasured, transferMeasuredInParts } from './transfer-measured.ts'
import { transferPacked } from './transfer-packed.ts'
import { UnitsContent } from './units-content.ts'
import type { Transferred, Wants } from './wants.ts'

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
  send(sending: Sending, onShare: OnShare): Promise<Transferred>
}

/** Told how much of a pass is done, 0 to 1. It goes back when something has to be sent again. */
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
 * order: in one pass, the head last. Packed, as one body, or where digests of the whole are wanted: in two passes, the first of
 * which is made here and keeps in memory what it makes, where that is little: then the second only sends it. Never a local copy.
 * @param anyOrder what the destination takes, see `Destination.anyOrder`
 * @param onShare told of that first pass
 */
export async function prepareShipment(
  { disk, format }: { readonly disk: Disk; readonly format: Format | PackedFormat },
  anyOrder: boolean,
  engine: Engine,
  wants: Wants,
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
      send: (sending, onShare) => transfer({ layout, disk }, sending, engine, wants, sharesOf(length, onShare))
    }
  }
  const packing = format.packing(map)
  const source = { packing, disk }
  const dataBytes = packing.units.total * packing.units.unitBytes
  const onePass = anyOrder && (packing.headBytes === 0 || wants.digests.length === 0)
  if (onePass) {
    return {
      length: packing.maxLength,
      exact: false,
      measured: false,
      [Symbol.dispose]() {},
      send: (sending, onShare) => transferPacked(source, sending, engine, wants, sharesOf(dataBytes, onShare))
    }
  }
  return measuredShipment(source, anyOrder, engine, wants, signal, sharesOf(dataBytes, onShare))
}

async function measuredShipment(
  source: PackedSource,
  anyOrder: boolean,
  engine: Engine,
  wants: Wants,
  signal: AbortSignal,
  onRead: (bytes: number) => void
): Promise<Shipment> {
  const { units } = source.packing
  using content = wants.contentHash ? new UnitsContent(engine, source.disk.virtualSize, signal) : undefined
  const { compressors, buffers } = engine
  const measured = await measure(source, buffers, { compressors, signal, onRead, content })
  const contentHash = await content?.digest()
  const way = anyOrder ? transferMeasuredInParts : transferMeasured
  return {
    length: measured.length,
    exact: true,
    measured: true,
    [Symbol.dispose]: () => measured.body[Symbol.dispose](),
    send: async (sending, onShare) => ({
      ...(await way({ source, measured }, sending, engine, wants, sharesOf(units.total * units.unitBytes, onShare))),
      ...contentHash
    })
  }
}
