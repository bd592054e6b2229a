import { mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { MiB } from '../../src/domain/bytes.ts'
import { isZero } from '../../src/scrub/is-zero.ts'
import { applianceFolders, MINUTE_MS, SETTINGS } from '../integration/scrub/appliance-run.ts'
import {
  areKept,
  type Layout,
  makeExt,
  makePlantedGuest,
  type PlantedGuest
} from '../integration/scrub/planted-guest.ts'
import { Canaries, type Leak } from '../support/canaries.ts'
import { dumpPostgres, filesBelow } from '../support/dumps.ts'
import { freshDatabase } from '../support/postgres.ts'
import { watchFamily } from '../support/process-family.ts'
import { putServer } from '../support/put-server.ts'
import { removeDataDir } from '../support/remove-data-dir.ts'
import { Client, type Json, type ServiceProcess, startProcess } from '../support/service.ts'
import { describeWithTools, standing } from '../unit/scrub/tools.ts'

const canaries = new Canaries()
/** With characters that mean something to shells, to guestfish and in UTF-8. */
const KEY = `${canaries.word()} "$(x)' | ü\\n`
const WRONG = canaries.word()
const OPENING = ['cryptsetup-open /dev/sda1 inner', KEY, 'lvm-scan true']
const LAYOUT: Layout = {
  mebibytes: 144,
  commands: [
    'part-init /dev/sda gpt',
    'part-add /dev/sda p 2048 -4096',
    'luks-format /dev/sda1 0',
    KEY,
    'cryptsetup-open /dev/sda1 inner',
    KEY,
    'pvcreate /dev/mapper/inner',
    'vgcreate vg /dev/mapper/inner',
    'lvcreate root vg 80',
    'lvcreate swap vg 8',
    'lvcreate gone vg 8',
    'mkswap /dev/vg/swap label:swapped'
  ],
  usedBefore: { device: '/dev/vg/root', mebibytes: 80, make: makeExt },
  unlinks: '/dev/vg/root',
  devices: [
    ['/dev/vg/swap', MiB],
    ['/dev/vg/gone', MiB]
  ],
  afterwards: ['lvremove /dev/vg/gone'],
  root: '/dev/vg/root',
  fstab: '/dev/mapper/vg-root / ext4 defaults 0 1\nLABEL=swapped none swap sw 0 0\n',
  opening: OPENING,
  whole: '/dev/mapper/inner'
}
const TOOLS = ['guestfish', 'setpriv']

describeWithTools(TOOLS, 'a guest that is encrypted', () => {
  let folder: string
  let guest: PlantedGuest
  let service: ServiceProcess
  let client: Client
  let image: string
  let databaseUrl: string
  const closing: (() => Promise<unknown>)[] = []
  const leaks: (Leak & { readonly place: string })[] = []
  const seen = new Map<string, number>()
  const look = (place: string, content: string | Buffer) => {
    seen.set(place, (seen.get(place) ?? 0) + content.length)
    leaks.push(...canaries.in(content).map((leak) => ({ place, ...leak })))
  }

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'e2e-disk-key-'))
    closing.push(() => removeDataDir(folder))
    guest = await makePlantedGuest(join(folder, 'guest.raw'), folder, LAYOUT)
    const database = await freshDatabase()
    databaseUrl = database.url
    closing.push(database.drop)
    service = startProcess('all', {
      DATA_DIR: join(folder, 'data'),
      DATABASE_URL: database.url,
      TASK_ATTEMPTS: '1',
      LOG_LEVEL: 'trace',
      SCRUB_APPLIANCE_CACHE: SETTINGS.cache
    })
    closing.push(() => service.stop())
    client = new Client(String((await service.line('listening')).url))
    image = await client.upload(await readFile(join(folder, 'guest.raw')), 'raw')
  }, 5 * MINUTE_MS)
  afterAll(async () => {
    for (const close of closing.reverse()) await close()
  })

  /** Everything that anybody can read while a task goes on. */
  async function watched(id: string): Promise<Json> {
    const watch = watchFamily(service.child.pid ?? 0)
    let over = false
    const looking = (async () => {
      for (; !over; await sleep(1000)) {
        look('database', await dumpPostgres(databaseUrl))
        for (const name of await applianceFolders())
          for await (const { bytes } of filesBelow(join(SETTINGS.cache, name))) look('files of the appliance', bytes)
      }
    })()
    const task = await client.ended(id)
    over = true
    await looking
    for (const { commandLine, environment } of await watch.stop()) {
      look('command lines', commandLine)
      look('environments', environment)
    }
    look('answers', JSON.stringify(task))
    look('database', await dumpPostgres(databaseUrl))
    look('log', JSON.stringify(service.log) + service.stderr())
    return task
  }

  it(
    'fails without its key and with another; a retry with it leaves nothing for those who have it, and the key is nowhere',
    async () => {
      await using place = await putServer()
      const to = `http://127.0.0.1:${place.port}/place`
      const generalize = (key: object) => ({ export_format: 'raw', scrub: { profile: 'generalize', ...key } })

      const closed = await watched(await client.export(image, to, generalize({})))
      const wrong = await watched(await client.export(image, to, generalize({ disk_key: WRONG })))
      const retry = (body?: Json) => client.call('POST', `/v2/tasks/${wrong.id}/retry`, body)
      const without = await retry()
      const again = await retry({ scrub: { disk_key: KEY } })
      const task = await watched(String(again.body.id))

      expect(closed).toMatchObject({
        task_status: 'failure',
        failure: { code: 'SCRUB_GUEST_ENCRYPTED', actor: 'user' }
      })
      expect(closed.message).toContain('scrub.disk_key')
      expect(wrong).toMatchObject({
        task_status: 'failure',
        message: expect.stringContaining('scrub.disk_key'),
        failure: { code: 'SCRUB_DISK_KEY_WRONG', actor: 'user', hint: expect.stringContaining('passphrase') }
      })
      expect(without).toMatchObject({ status: 409, body: { error: { failure_code: 'DISK_KEY_PURGED' } } })
      expect(again.status).toBe(201)
      expect(task).toMatchObject({
        task_status: 'success',
        retry_of: wrong.id,
        scrub: { profile: 'generalize' },
        scrub_report: { path: 'appliance', guest: { kind: 'linux' }, partitions: [{ file_system: 'luks' }] }
      })
      expect(Object(task.scrub_report).partitions[0]).not.toHaveProperty('why')

      const exported = join(folder, 'exported.raw')
      await writeFile(exported, [...place.objects.values()][0] ?? '')
      expect(await standing(guest.secrets, join(folder, 'before'))).toEqual(guest.secrets)
      expect(await areKept(exported, LAYOUT, guest, folder)).toEqual({ changed: [] })
      expect(await standing(guest.secrets, join(folder, 'after'))).toEqual([])
      expect(await zeroBlocks(exported)).toBeGreaterThan(await zeroBlocks(join(folder, 'guest.raw')))

      for await (const { path, bytes } of filesBelow(join(folder, 'data'))) {
        look('files', path)
        look('files', bytes)
      }
      expect(leaks).toEqual([])
      expect([...seen.keys()].sort()).toEqual(
        ['answers', 'command lines', 'database', 'environments', 'files', 'files of the appliance', 'log'].sort()
      )
    },
    15 * MINUTE_MS
  )
})

/** What is dropped below the encryption is zeros there; what is overwritten is not. */
async function zeroBlocks(path: string): Promise<number> {
  const bytes = await readFile(path)
  let count = 0
  for (let at = 0; at < bytes.length; at += 4096) if (isZero(bytes.subarray(at, at + 4096))) count += 1
  return count
}
