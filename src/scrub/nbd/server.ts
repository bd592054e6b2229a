import { chmod, chown } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { handshake } from './handshake.ts'
import { Incoming } from './incoming.ts'
import { answerRequests, type Listener, type Served } from './transmission.ts'

/** Programs open one or two. */
const MAX_CONNECTIONS = 16

/** A disk as a network block device on a socket in a folder. Disposing ends all connections and what they had begun; the disk stays. */
export interface NbdServer extends AsyncDisposable {
  readonly path: string
  /** The disk, in turns with the clients. */
  readonly disk: Served
  /** The first error of the disk, which clients know as EIO only. */
  readonly failure: unknown
  /** What clients said they need no more, in all: the same bytes as often as they said it. */
  readonly trimmedBytes: number
}

/**
 * Serves a disk as the export without a name: what is written goes to its overlay.
 * @param folder nobody else can enter; its path is short enough for a socket below it (107 bytes)
 * @param uid account that may connect, where it is not this process's own
 */
export async function serveNbd(disk: Served, folder: string, uid?: number): Promise<NbdServer> {
  const path = join(folder, 'nbd')
  const sockets = new Set<Socket>()
  const heard: { failure: unknown; trimmedBytes: number } = { failure: undefined, trimmedBytes: 0 }
  const oneAtATime = new InTurns(disk)
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => socket.destroy())
    void converse(socket, oneAtATime, {
      failed: (error) => {
        heard.failure ??= error
      },
      trimmed: (bytes) => {
        heard.trimmedBytes += bytes
      }
    })
  })
  server.maxConnections = MAX_CONNECTIONS
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(path, resolve))
  await chmod(path, 0o600)
  if (uid !== undefined) await chown(path, uid, uid)

  return {
    path,
    disk: oneAtATime,
    get failure() {
      return heard.failure
    },
    get trimmedBytes() {
      return heard.trimmedBytes
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise<void>((resolve) => server.close(() => resolve()))
      await oneAtATime.idle()
    }
  }
}

async function converse(socket: Socket, disk: Served, listener: Listener): Promise<void> {
  const incoming = new Incoming(socket)
  try {
    if (await handshake(socket, incoming, disk.virtualSize)) await answerRequests(socket, incoming, disk, listener)
    socket.end()
  } catch {
    // The client hung up, broke the rules, or its socket failed: there is nobody to tell.
    socket.destroy()
  }
}

/** Clients may write one sector from two connections at once; an overlay may not be asked to. */
class InTurns implements Served {
  readonly virtualSize: number
  readonly #disk: Served
  #last: Promise<unknown> = Promise.resolve()

  constructor(disk: Served) {
    this.virtualSize = disk.virtualSize
    this.#disk = disk
  }

  read = (target: Uint8Array, offset: number) => this.#turn(() => this.#disk.read(target, offset))
  write = (bytes: Uint8Array, offset: number) => this.#turn(() => this.#disk.write(bytes, offset))
  zero = (offset: number, length: number) => this.#turn(() => this.#disk.zero(offset, length))
  idle = () => this.#turn(async () => {})

  #turn(act: () => Promise<void>): Promise<void> {
    const result = this.#last.then(act, act)
    this.#last = result
    return result
  }
}
