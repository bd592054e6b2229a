import { createServer, type Socket } from 'node:net'
import { expect, it } from 'vitest'
import { isDatabaseTrouble } from '../../../src/domain/database-trouble.ts'
import { assertMigrated } from '../../../src/postgres/migrate.ts'
import { createPool } from '../../../src/postgres/pool.ts'

/** Speaks as much of PostgreSQL as `answer` does. */
async function startBroken(answer: (socket: Socket, heard: Buffer) => void) {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('data', (heard) => answer(socket, heard))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  return {
    url: `postgres://user@127.0.0.1:${port}/database`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    }
  }
}

/** AuthenticationOk and ReadyForQuery, see the chapter "Message Formats" of PostgreSQL's documentation. */
const LOGGED_IN = Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 0, 0x5a, 0, 0, 0, 5, 0x49])
const STARTUP_VERSION = 0x0003_0000

it('a server that takes the connection and says nothing is trouble of the database', async () => {
  await using server = await startBroken(() => {})
  const pool = createPool({ url: server.url, max: 1, onError: () => {} })

  await expect(pool.query('select 1')).rejects.toSatisfy(isDatabaseTrouble)
  await expect(assertMigrated(server.url, { queue: false })).rejects.toSatisfy(isDatabaseTrouble)
  await pool.end()
})

it('a connection that breaks while the schema is looked at ends that, and not the process', async () => {
  await using server = await startBroken((socket, heard) => {
    if (heard.length > 8 && heard.readUInt32BE(4) === STARTUP_VERSION) socket.write(LOGGED_IN)
    else socket.destroy()
  })
  const unheard: unknown[] = []
  const hear = (error: unknown) => unheard.push(error)
  process.on('uncaughtExceptionMonitor', hear)

  await expect(assertMigrated(server.url, { queue: false })).rejects.toSatisfy(isDatabaseTrouble)

  process.off('uncaughtExceptionMonitor', hear)
  expect(unheard).toEqual([])
})
