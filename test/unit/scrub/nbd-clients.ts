import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type NbdServer, serveNbd } from '../../../src/scrub/nbd/server.ts'

/** A disk in memory, and what was asked of it. */
export function servedBytes(bytes: Buffer) {
  const asked: string[] = []
  return {
    bytes,
    asked,
    virtualSize: bytes.length,
    async read(target: Uint8Array, offset: number) {
      bytes.copy(target, 0, offset)
    },
    async write(from: Uint8Array, offset: number) {
      asked.push(`write ${offset} ${from.length}`)
      bytes.set(from, offset)
    },
    async zero(offset: number, length: number) {
      asked.push(`zero ${offset} ${length}`)
      bytes.fill(0, offset, offset + length)
    }
  }
}

type Served = Parameters<typeof serveNbd>[0]

/** Serves a disk in a folder of its own, which is removed with the server. */
export async function serving(disk: Served): Promise<NbdServer & { readonly uri: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'nbd-'))
  const server = await serveNbd(disk, folder)
  return {
    path: server.path,
    disk: server.disk,
    uri: `nbd+unix:///?socket=${server.path}`,
    get failure() {
      return server.failure
    },
    get trimmedBytes() {
      return server.trimmedBytes
    },
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]()
      await rm(folder, { recursive: true })
    }
  }
}

/** A client that sends whatever it is told. */
export async function rawClient(path: string) {
  const socket: Socket = connect(path)
  const arrived: Buffer[] = []
  socket.on('data', (bytes: Buffer) => arrived.push(bytes))
  socket.on('error', () => {})
  const closed = once(socket, 'close')
  return {
    send: (...bytes: readonly (Buffer | string)[]) =>
      bytes.forEach((some) => {
        socket.write(some)
      }),
    /** All that the server says until it has said `length` bytes or hangs up. */
    async hears(length: number): Promise<Buffer> {
      const enough = () => Buffer.concat(arrived).length >= length || socket.closed
      while (!enough()) await Promise.race([once(socket, 'data'), closed])
      return Buffer.concat(arrived.splice(0))
    },
    /** All that the server says until it hangs up. */
    async hearsToTheEnd(): Promise<Buffer> {
      await closed
      return Buffer.concat(arrived.splice(0))
    },
    [Symbol.dispose]: () => {
      socket.destroy()
    }
  }
}

export const option = (kind: number, data = Buffer.alloc(0), length = data.length): Buffer =>
  Buffer.concat([Buffer.from('IHAVEOPT'), numbers(4, kind), numbers(4, length), data])

/** NBD_OPT_GO for the export without a name. */
export const GO = option(7, Buffer.alloc(6))
/** What the server says until it takes requests: greeting, two facts, acknowledgement. */
export const GREETING_BYTES = 18
export const GONE_BYTES = 32 + 34 + 20

export function request(command: number, offset: number | bigint, length: number, flags = 0): Buffer {
  const head = Buffer.concat([numbers(4, 0x25609513), numbers(2, flags), numbers(2, command), Buffer.from('cookie!!')])
  const where = Buffer.alloc(8)
  where.writeBigUInt64BE(BigInt(offset))
  return Buffer.concat([head, where, numbers(4, length)])
}

export function numbers(width: 2 | 4, value: number): Buffer {
  const bytes = Buffer.alloc(width)
  bytes.writeUIntBE(value, 0, width)
  return bytes
}
