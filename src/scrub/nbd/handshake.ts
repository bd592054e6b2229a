import type { Socket } from 'node:net'
import { KiB } from '../../domain/bytes.ts'
import { HungUp, type Incoming, send } from './incoming.ts'
import { BLOCK_BYTES, MAX_REQUEST_BYTES, PREFERRED_BYTES, TRANSMISSION_FLAGS } from './limits.ts'

const NBDMAGIC = Buffer.from('NBDMAGIC')
const IHAVEOPT = Buffer.from('IHAVEOPT')
const REPLY_MAGIC = 0x3e889045565a9n

/** Fixed newstyle, and no padding where the client does not want it: of the server and, the same bits, of the client. */
const FIXED_NEWSTYLE = 1
const NO_ZEROES = 2

const OPTION = { exportName: 1, abort: 2, list: 3, info: 6, go: 7 } as const
const REPLY = { ack: 1, server: 2, info: 3, unsupported: 0x80000001, invalid: 0x80000003, unknown: 0x80000006 } as const
const INFO = { export: 0, blockSize: 3 } as const

/** A name is 4 KiB at most, by the protocol. */
const MAX_OPTION_BYTES = 8 * KiB
const MAX_OPTIONS = 64

/**
 * The fixed newstyle handshake, for one export that has no name.
 * @returns whether the client goes on with requests; it may as well have had enough
 * @throws HungUp
 * @see https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md
 */
export async function handshake(socket: Socket, incoming: Incoming, diskBytes: number): Promise<boolean> {
  await send(socket, NBDMAGIC, IHAVEOPT, u16(FIXED_NEWSTYLE | NO_ZEROES))
  const flags = (await incoming.take(4)).readUInt32BE()
  if (flags & ~(FIXED_NEWSTYLE | NO_ZEROES)) throw new HungUp('it wants what was not offered')

  for (let options = 0; options < MAX_OPTIONS; options += 1) {
    const head = await incoming.take(16)
    if (!head.subarray(0, 8).equals(IHAVEOPT)) throw new HungUp('that is no option')
    const option = head.readUInt32BE(8)
    const length = head.readUInt32BE(12)
    if (length > MAX_OPTION_BYTES) throw new HungUp('an option is too long')
    const data = await incoming.take(length)
    const reply = (kind: number, ...bytes: readonly Buffer[]) => {
      const head = Buffer.alloc(20)
      head.writeBigUInt64BE(REPLY_MAGIC)
      head.writeUInt32BE(option, 8)
      head.writeUInt32BE(kind, 12)
      head.writeUInt32BE(Buffer.concat(bytes).length, 16)
      return send(socket, head, ...bytes)
    }

    switch (option) {
      case OPTION.exportName:
        if (length > 0) throw new HungUp('there is no export of that name')
        await send(socket, exportInfo(diskBytes), Buffer.alloc(flags & NO_ZEROES ? 0 : 124))
        return true
      case OPTION.abort:
        await reply(REPLY.ack)
        return false
      case OPTION.list:
        if (length > 0) await reply(REPLY.invalid)
        else {
          await reply(REPLY.server, u32(0))
          await reply(REPLY.ack)
        }
        break
      case OPTION.info:
      case OPTION.go: {
        const name = nameIn(data)
        if (name === undefined) await reply(REPLY.invalid)
        else if (name.length > 0) await reply(REPLY.unknown)
        else {
          await reply(REPLY.info, u16(INFO.export), exportInfo(diskBytes))
          await reply(REPLY.info, u16(INFO.blockSize), u32(BLOCK_BYTES), u32(PREFERRED_BYTES), u32(MAX_REQUEST_BYTES))
          await reply(REPLY.ack)
          if (option === OPTION.go) return true
        }
        break
      }
      default:
        await reply(REPLY.unsupported)
    }
  }
  throw new HungUp('it does not come to an end')
}

/** Of NBD_OPT_INFO and NBD_OPT_GO: a name with its length, and a list of what else is wanted with its count. */
function nameIn(data: Buffer): Buffer | undefined {
  if (data.length < 6) return undefined
  const length = data.readUInt32BE()
  if (length > data.length - 6) return undefined
  const wanted = data.readUInt16BE(4 + length)
  return data.length === 6 + length + 2 * wanted ? data.subarray(4, 4 + length) : undefined
}

function exportInfo(diskBytes: number): Buffer {
  const info = Buffer.alloc(10)
  info.writeBigUInt64BE(BigInt(diskBytes))
  info.writeUInt16BE(TRANSMISSION_FLAGS, 8)
  return info
}

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16BE(value)
  return bytes
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}
