import { mkdtemp, rm } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freshDatabase } from '../../support/postgres.ts'
import { startProcess } from '../../support/service.ts'
import { appOver, MemoryService } from '../../unit/http/memory-service.ts'
import { describeGlanceclient } from './glanceclient.ts'

describeGlanceclient('the whole service', async () => {
  const database = await freshDatabase()
  const folder = await mkdtemp(join(tmpdir(), 'clients-'))
  const service = startProcess('all', { DATABASE_URL: database.url, DATA_DIR: folder })
  return {
    url: String((await service.line('listening')).url),
    token: 'alice:demo:member',
    exportTo: 'http://127.0.0.1:9/images',
    async stop() {
      await service.stop()
      await database.drop()
      await rm(folder, { recursive: true })
    }
  }
})

describeGlanceclient('the API over use cases in memory', async () => {
  const app = appOver(new MemoryService())
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    token: 'alice:demo:member',
    exportTo: 'https://store.example.com/images',
    stop: () => app.close()
  }
})
