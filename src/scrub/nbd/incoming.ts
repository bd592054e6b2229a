import type { Socket } from 'node:net'

/** The other side ended the connection, or said what the protocol does not know: there is nothing to answer. */
export class HungUp extends Error {
  override readonly name = 'HungUp'
}

/** The bytes of a connection in the amounts that are wanted; what nobody asks for stays with the sender. */
export class Incoming {
  readonly #arriving: AsyncIterator<Buffer>
  #kept: Buffer[] = []
  #bytes = 0

  constructor(socket: Socket) {
    this.#arriving = socket[Symbol.asyncIterator]()
  }

  /** @throws HungUp where the connection ends before */
  async take(length: number): Promise<Buffer> {
    while (this.#bytes < length) {
      const { value, done } = await this.#arriving.next()
      if (done) throw new HungUp('the connection ended')
      this.#kept.push(value)
      this.#bytes += value.length
    }
    const all = Buffer.concat(this.#kept)
    const rest = all.subarray(length)
    this.#kept = [rest]
    this.#bytes = rest.length
    return all.subarray(0, length)
  }
}

/** Answers once the bytes have left: who does not read is not sent more. */
export const send = (socket: Socket, ...bytes: readonly Buffer[]): Promise<void> =>
  new Promise((resolve, reject) => {
    socket.write(Buffer.concat(bytes), (error) => (error ? reject(error) : resolve()))
  })
