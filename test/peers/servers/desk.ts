import { once } from 'node:events'
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { DeskAnswer } from '../peer.ts'
import { Processes } from './processes.ts'
import { missingPeers, PEERS, type PeerName } from './registry.ts'

/** Starts every server once, when it is first asked for, and ends them all together. */
export async function openDesk(): Promise<{ readonly url: string; close(): Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'peers-'))
  await chmod(folder, 0o711) // servers run as users of their own
  const started: Processes[] = []
  const peers = new Map<string, Promise<object>>()

  const get = (name: PeerName, options: object = {}): Promise<object> => {
    const key = `${name} ${JSON.stringify(options)}`
    const known = peers.get(key)
    if (known) return known
    const starting = start(name, options)
    peers.set(key, starting)
    return starting
  }
  const start = async (name: PeerName, options: object): Promise<object> => {
    const own = join(folder, `${name}-${started.length}`)
    const processes = new Processes(own)
    started.push(processes)
    await mkdir(own, { mode: 0o755 })
    return PEERS[name].start(processes, options, get)
  }

  const server = createServer(async (request, response) => {
    const { name, options }: { name: PeerName; options: object } = JSON.parse(await text(request))
    const absent = missingPeers()[name]
    const answer: DeskAnswer = absent
      ? { missing: absent }
      : await get(name, options).then(
          (peer) => ({ peer }),
          (error: unknown) => ({ error: `${name} did not start: ${error instanceof Error ? error.message : error}` })
        )
    response.end(JSON.stringify(answer))
  })
  server.requestTimeout = 0
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')

  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    async close() {
      server.closeAllConnections()
      server.close()
      await Promise.allSettled(peers.values())
      for (const processes of started.reverse()) await processes.stop()
      await rm(folder, { recursive: true, force: true, maxRetries: 10 })
    }
  }
}
