import type { Socket } from 'node:net'
import { KiB } from '../../domain/bytes.ts'
import { isZero } from '../is-zero.ts'
import type { OverlayDisk } from '../overlay-disk.ts'
import { runs } from '../runs.ts'
import { HungUp, type Incoming, send } from './incoming.ts'
import { BLOCK_BYTES, MAX_REQUEST_BYTES } from './limits.ts'

const REQUEST_MAGIC = 0x25609513
const REPLY_MAGIC = 0x67446698
const COMMAND = { read: 0, write: 1, disconnect: 2, flush: 3, trim: 4, writeZeroes: 6 } as const
/** The one flag that may be set without having been offered: zeros that are to be allocated, which is all the same here. */
const NO_HOLE = 2
const NOTHING = Buffer.alloc(0)
/** As many zeros as are worth a hole of their own. */
const HOLE_BYTES = 4 * KiB

const OK = 0
const EIO = 5
const EINVAL = 22
const ENOSPC = 28

/** What is served of an overlay. */
export type Served = Pick<OverlayDisk, 'virtualSize' | 'read' | 'write' | 'zero'>

/** Who hears what clients are not told. */
export type Listener = {
  /** Each error of the disk; the client is told that there was one. */
  failed(error: unknown): void
  /** Bytes that a client says it needs no more, and that are zeros now. */
  trimmed(bytes: number): void
}

type Request = {
  readonly flags: number
  readonly command: number
  readonly offset: number
  readonly length: number
  /** Of a write, else empty. */
  readonly payload: Buffer
}

/**
 * Answers requests, one after the other, until the client is through. Bytes that are all zero, trimmed or written as zeroes,
 * take no place in the overlay.
 * @throws HungUp
 */
export async function answerRequests(
  socket: Socket,
  incoming: Incoming,
  disk: Served,
  listener: Listener
): Promise<void> {
  for (;;) {
    const head = await incoming.take(28)
    if (head.readUInt32BE() !== REQUEST_MAGIC) throw new HungUp('that is no request')
    const command = head.readUInt16BE(6)
    const length = head.readUInt32BE(24)
    if (command === COMMAND.disconnect) return
    // What follows a request that is too long cannot be told from the next one without reading it all.
    if (command === COMMAND.write && length > MAX_REQUEST_BYTES) throw new HungUp('it writes too much at once')
    const payload = command === COMMAND.write ? await incoming.take(length) : NOTHING
    const request = { flags: head.readUInt16BE(4), command, offset: Number(head.readBigUInt64BE(16)), length, payload }

    let error = refusal(request, disk.virtualSize)
    let answer: Buffer = NOTHING
    try {
      if (error === OK) answer = await carryOut(request, disk)
      if (error === OK && command === COMMAND.trim) listener.trimmed(length)
    } catch (cause) {
      listener.failed(cause)
      error = EIO
    }
    const reply = Buffer.alloc(16)
    reply.writeUInt32BE(REPLY_MAGIC)
    reply.writeUInt32BE(error, 4)
    head.copy(reply, 8, 8, 16)
    await send(socket, reply, answer)
  }
}

function refusal({ flags, command, offset, length }: Request, diskBytes: number): number {
  if (!Object.values<number>(COMMAND).includes(command)) return EINVAL
  if (flags !== 0 && !(command === COMMAND.writeZeroes && flags === NO_HOLE)) return EINVAL
  if (command === COMMAND.flush) return offset === 0 && length === 0 ? OK : EINVAL
  if (length === 0 || length % BLOCK_BYTES !== 0 || offset % BLOCK_BYTES !== 0) return EINVAL
  if (command === COMMAND.read && length > MAX_REQUEST_BYTES) return EINVAL
  if (offset + length > diskBytes) return command === COMMAND.read ? EINVAL : ENOSPC
  return OK
}

async function carryOut({ command, offset, length, payload }: Request, disk: Served): Promise<Buffer> {
  if (command === COMMAND.read) {
    const bytes = Buffer.allocUnsafe(length)
    await disk.read(bytes, offset)
    return bytes
  }
  if (command === COMMAND.write) await write(disk, payload, offset)
  else if (command !== COMMAND.flush) await disk.zero(offset, length)
  return NOTHING
}

/** Zeros take no place, also those between other bytes: who has read free space with the rest writes them so. */
async function write(disk: Served, payload: Buffer, offset: number): Promise<void> {
  for (const { from, to, chosen: isHole } of runs(payload, HOLE_BYTES, isZero)) {
    if (isHole) await disk.zero(offset + from, to - from)
    else await disk.write(payload.subarray(from, to), offset + from)
  }
}
