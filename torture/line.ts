import { once } from 'node:events'
import net, { type AddressInfo, type NetConnectOpts, type Socket } from 'node:net'

/** `cut`: connections break and no new one is taken. `silent`: they stay, and nothing comes through. `slow`: late. */
export type LineState = 'open' | 'cut' | 'silent' | 'slow'

const LATE_MS = 250

/** A line between one process and a server, that can be cut. */
export type Line = {
  readonly port: number
  set(state: LineState): void
  [Symbol.asyncDispose](): Promise<void>
}

export async function openLine(server: NetConnectOpts): Promise<Line> {
  let state: LineState = 'open'
  const ends = new Set<Socket>()
  const keep = (end: Socket, other: Socket) => {
    ends.add(end)
    end.on('error', () => {}) // 'close' follows
    end.on('close', () => {
      ends.delete(end)
      other.destroy()
    })
    let late = 0
    end.on('data', (chunk: Buffer) => {
      // Behind what is late comes nothing sooner.
      if (state === 'slow' || late > 0) {
        late += 1
        setTimeout(() => {
          late -= 1
          other.write(chunk)
        }, LATE_MS)
      } else if (!other.write(chunk)) end.pause()
    })
    other.on('drain', () => {
      if (state !== 'silent') end.resume()
    })
    if (state === 'silent') end.pause()
  }

  const listener = net.createServer((client) => {
    if (state === 'cut') {
      client.resetAndDestroy()
      return
    }
    const upstream = net.connect(server)
    keep(client, upstream)
    keep(upstream, client)
  })
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')

  return {
    port: (listener.address() as AddressInfo).port,
    set(next) {
      state = next
      for (const end of ends) {
        if (next === 'cut') end.destroy()
        else if (next === 'silent') end.pause()
        else end.resume()
      }
    },
    async [Symbol.asyncDispose]() {
      for (const end of ends) end.destroy()
      listener.close()
      await once(listener, 'close')
    }
  }
}
