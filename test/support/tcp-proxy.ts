import { once } from 'node:events'
import net, { type AddressInfo, type Socket } from 'node:net'

export type TcpFault =
  /** Breaks the connection (RST) after that many more bytes of the client. */
  | { readonly kind: 'reset'; readonly afterBytes: number }
  /** Reads and answers nothing any more, after that many more bytes of the client. */
  | { readonly kind: 'stall'; readonly afterBytes: number }
  /** Reads everything, hands nothing on and answers nothing. */
  | { readonly kind: 'hang' }
  /** Hands everything on and breaks the connection instead of giving that answer, counted from 1. */
  | { readonly kind: 'lose answer'; readonly number: number }

/** A proxy in front of a server on this machine that breaks the connection it was told to break, whatever is spoken there. */
export async function tcpProxy(upstreamPort: number) {
  const armed: TcpFault[] = []
  let connections = 0
  const sockets = new Set<Socket>()
  const keep = (socket: Socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket)).on('error', () => {})
  }

  const server = net.createServer((client) => {
    connections += 1
    const upstream = net.connect(upstreamPort, '127.0.0.1')
    keep(client)
    keep(upstream)
    let fault: TcpFault | undefined
    let sent = 0
    let answers = 0
    const breakOff = () => {
      client.resetAndDestroy()
      upstream.destroy()
    }
    client.on('data', (chunk) => {
      fault ??= armed.shift()
      if (fault?.kind === 'hang') return
      sent += fault ? chunk.length : 0
      if (fault?.kind === 'stall' && sent >= fault.afterBytes) return client.pause()
      if (fault?.kind === 'reset' && sent >= fault.afterBytes) return breakOff()
      if (upstream.write(chunk)) return
      client.pause()
      upstream.once('drain', () => client.resume())
    })
    upstream.on('data', (chunk) => {
      if (fault?.kind === 'hang' || (fault?.kind === 'stall' && sent >= fault.afterBytes)) return
      answers += fault ? 1 : 0
      if (fault?.kind === 'lose answer' && answers === fault.number) return breakOff()
      client.write(chunk)
    })
    client.on('close', () => upstream.destroy())
    upstream.on('close', () => client.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo

  return {
    port,
    connections: () => connections,
    /** The next connection that sends anything gets the fault, and keeps it; the one after that the next. */
    inject(fault: TcpFault): void {
      armed.push(fault)
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    }
  }
}
