import { execFile } from 'node:child_process'
import { mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs, promisify } from 'node:util'
import { MiB } from '../../src/domain/bytes.ts'
import { aptSources } from '../../test/support/apt-sources.ts'
import { makeDebianGuest } from '../../test/support/debian-guest.ts'
import { standing } from '../../test/unit/scrub/tools.ts'
import { machineFacts } from '../machine.ts'
import { startService } from '../service.ts'
import { spread } from '../statistics.ts'
import { timeAppliance } from './appliance-time.ts'
import { type Export, report } from './report.ts'

// Exports of a real Debian with and without a scrub, in turns: [--pairs 7] [--size 3072]. Needs root, for mmdebstrap.
// Only a run with the figures above writes SCRUB.md here; others write it to BENCH_DIR.

const DEFAULTS = { pairs: '7', size: '3072' }
const { values: options } = parseArgs({
  options: {
    pairs: { type: 'string', default: DEFAULTS.pairs },
    size: { type: 'string', default: DEFAULTS.size }
  }
})
const full = Object.entries(DEFAULTS).every(([name, value]) => Reflect.get(options, name) === value)
const folder = process.env.BENCH_DIR ?? join(import.meta.dirname, '../../data/bench-scrub')
const say = (text: string) => process.stderr.write(`${text}\n`)
const FORMATS = ['qcow2', 'raw', 'vmdk'] as const
/** Not compressed: what is in the disk stands in the file. */
const OPTIONS = { qcow2: {}, raw: {}, vmdk: { subformat: 'monolithicSparse' } } as const
const PROFILES = ['none', 'generalize'] as const

await using everything = new AsyncDisposableStack()
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, async () => {
    say(`stopping: ${signal}`)
    await everything.disposeAsync().catch(() => {})
    process.exit(1)
  })
}
await rm(folder, { recursive: true, force: true })
everything.defer(() => rm(join(folder, 'service'), { recursive: true, force: true }))
everything.defer(() => rm(join(folder, 'guest'), { recursive: true, force: true }))
everything.defer(() => rm(join(folder, 'out'), { recursive: true, force: true }))
for (const name of ['service', 'out']) await mkdir(join(folder, name), { recursive: true })

say('making a guest')
const guest = await makeDebianGuest(join(folder, 'guest'), Number(options.size), aptSources())
const facts = await machineFacts()

say('starting the service')
const service = await startService(join(folder, 'service'), { env: { FILE_ROOT: join(folder, 'out') } })
everything.defer(() => service.stop())
const worker = await service.startWorker()
everything.defer(() => worker.stop())
const imageId = await upload()

const exports: Export[] = []
for (let pair = 0; pair < Number(options.pairs) + 1; pair += 1) {
  for (const format of FORMATS) {
    // Who is first changes, and what comes before the first pair warms everything up.
    for (const profile of pair % 2 === 0 ? PROFILES : PROFILES.toReversed()) {
      const done = await exportOnce(format, profile, pair === Number(options.pairs))
      if (pair > 0) exports.push(done)
      say(`${format} ${profile}: ${done.seconds.toFixed(2)} s, ${Math.round(done.bytes / MiB)} MiB`)
    }
  }
}
say('the appliance')
const appliance = await timeAppliance(guest, join(folder, 'out'))
const text = report({
  facts,
  exports,
  pairs: Number(options.pairs),
  secrets: guest.secrets.length,
  sizeMiB: Number(options.size),
  appliance
})
await writeFile(full ? join(import.meta.dirname, '../SCRUB.md') : join(folder, 'SCRUB.md'), text)
say(text)
const added = spread(exports.filter(({ profile }) => profile === 'generalize').map(({ scrubSeconds }) => scrubSeconds))
say(`a scrub took ${added.median.toFixed(2)} s`)

async function upload(): Promise<string> {
  const wish = { name: 'guest', disk_format: 'raw', container_format: 'bare' }
  const { body } = await service.client.call('POST', '/v2/images', wish)
  await promisify(execFile)('curl', [
    ...['--silent', '--show-error', '--fail', '--upload-file', guest.path],
    ...['--header', 'x-auth-token: alice:demo:member', '--header', 'content-type: application/octet-stream'],
    `${service.url}/v2/images/${body.id}/file`
  ])
  return String(body.id)
}

/** @param search whether the file is searched for what was planted */
async function exportOnce(format: Export['format'], profile: Export['profile'], search: boolean): Promise<Export> {
  const name = `${format}-${profile}`
  const began = performance.now()
  const task = await worker.export({
    imageId,
    format,
    options: OPTIONS[format],
    place: { export_to: `file:///${name}`, scrub: { profile } }
  })
  const seconds = (performance.now() - began) / 1000
  const path = await found(name)
  const { size, blocks } = await stat(path)
  const left = search ? (await standing(guest.secrets, path)).length : undefined
  await rm(path)
  const report = task.scrub_report as { seconds?: number; path?: string } | undefined
  return {
    format,
    profile,
    seconds,
    bytes: size,
    allocated: blocks * 512,
    scrubSeconds: report?.seconds ?? 0,
    path: report?.path ?? 'none',
    left
  }
}

/** The one file of an export. */
async function found(name: string): Promise<string> {
  const entries = await readdir(join(folder, 'out'), { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  const [path, other] = files.filter((file) => file.includes(name))
  if (!path || other) throw new Error(`${name} is not the one file that was to be written`)
  return path
}
