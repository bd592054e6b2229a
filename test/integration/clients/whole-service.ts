import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freshDatabase } from '../../support/postgres.ts'
import { putServer } from '../../support/put-server.ts'
import { Client, startProcess } from '../../support/service.ts'

export const TOKEN = 'alice:demo:member'

/** The API on a database of its own. Tasks stay queued until a worker is started. */
export async function wholeService() {
  const cleanUp = new AsyncDisposableStack()
  try {
    const database = cleanUp.use(await freshDatabase())
    const home = await mkdtemp(join(tmpdir(), 'clients-'))
    cleanUp.defer(() => rm(home, { recursive: true, force: true }))
    const env = { DATABASE_URL: database.url, DATA_DIR: join(home, 'data') }
    const migration = startProcess('migrate', env)
    if ((await migration.exited) !== 0) throw new Error(`migrate failed: ${migration.stderr()}`)
    const start = (name: 'http' | 'worker') => {
      const running = startProcess(name, env)
      cleanUp.defer(() => running.stop().then(() => {}))
      return running
    }
    const url = String((await start('http').line('listening')).url)
    const place = cleanUp.use(await putServer())
    const refusing = createServer((_request, response) => response.writeHead(403).end()).listen(0, '127.0.0.1')
    await once(refusing, 'listening')
    cleanUp.defer(() => {
      refusing.closeAllConnections()
      refusing.close()
    })
    return {
      url,
      /** A folder for the test's own files. */
      home,
      client: new Client(url, TOKEN),
      /** Takes whatever is exported to it. */
      place: `http://127.0.0.1:${place.port}/place`,
      /** Refuses it. */
      refusal: `http://127.0.0.1:${(refusing.address() as AddressInfo).port}/place`,
      startWorker: async (): Promise<void> => {
        await start('worker').line('working')
      },
      [Symbol.asyncDispose]: () => cleanUp.disposeAsync()
    }
  } catch (error) {
    await cleanUp.disposeAsync()
    throw error
  }
}
export type WholeService = Awaited<ReturnType<typeof wholeService>>
