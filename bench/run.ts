import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { CASES, isLaidOut } from './cases.ts'
import { chart } from './chart.ts'
import { type CaseResult, duel, fillCompileCache, type Ground } from './duel.ts'
import { GROWTH_GIB, growByCrowd, growBySize, growthImage } from './growth.ts'
import { type ImageName, provideImages } from './images.ts'
import { machineFacts } from './machine.ts'
import { report, summary } from './report.ts'
import { startService } from './service.ts'
import { compileTools, type Sink, type SinkKind, startSink } from './sinks.ts'

// Ours against qemu-img + curl: [--quick] [--only part of a name] [--n rounds] [--sink copy|drop] [--profile folder].
// Only a full run writes RESULTS.md and results.svg here; others write them to BENCH_DIR.

const LIMIT_MS = 40 * 60_000

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    n: { type: 'string' },
    sink: { type: 'string', default: 'copy' },
    profile: { type: 'string' }
  }
})
const folder = process.env.BENCH_DIR ?? join(import.meta.dirname, '../data/bench')
const rounds = Number(options.n ?? (options.quick ? 2 : 5))
const sinkKind = options.sink === 'drop' ? 'drop' : 'copy'
const only = options.only?.toLowerCase() ?? ''
const full = !options.quick && only === '' && sinkKind === 'copy'
const wanted = (name: string) => name.toLowerCase().includes(only)
const cases = CASES.filter((one) => wanted(one.name) && (!options.quick || one.quick))
const grows = !options.quick && wanted('growth')
const say = (text: string) => process.stderr.write(`${text}\n`)

await using everything = new AsyncDisposableStack()
const giveUp = setTimeout(() => end(`this took longer than ${LIMIT_MS / 60_000} minutes`), LIMIT_MS)
everything.defer(() => clearTimeout(giveUp))
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => end(signal))

async function end(why: string): Promise<never> {
  say(`stopping: ${why}`)
  await everything.disposeAsync().catch(() => {})
  process.exit(1)
}

const startedAt = new Date()
const scratch = join(folder, 'scratch')
await rm(scratch, { recursive: true, force: true })
await mkdir(scratch, { recursive: true })
everything.defer(() => rm(scratch, { recursive: true, force: true }))

const facts = await machineFacts()
const tools = await compileTools(join(folder, 'tools'))
const service = await startService(join(folder, 'service'))
everything.defer(() => service.stop())

const sinks = new Map<string, Promise<Sink>>()
const sinkPids = new Set<number>()
const sinkOf = (kind: SinkKind) => async (bytesPerSecond: number | undefined) => {
  const name = `${kind} ${bytesPerSecond}`
  const known = sinks.get(name)
  if (known) return known
  const starting = startSink(tools.sink, kind, bytesPerSecond)
  sinks.set(name, starting)
  const sink = await starting
  sinkPids.add(sink.pid)
  everything.defer(() => sink.stop())
  return sink
}

const imageNames = new Set<ImageName>(cases.map((one) => one.image))
if (grows)
  for (const name of [...GROWTH_GIB.map(growthImage), 'debian.qcow2', 'slice.raw'] as const) imageNames.add(name)
const images = await provideImages(service, folder, [...imageNames], say)
const workerFlags =
  options.profile === undefined ? [] : ['--cpu-prof', '--cpu-prof-dir', options.profile, '--cpu-prof-interval', '500']
const ground: Ground = {
  service,
  images,
  sinkFor: sinkOf(sinkKind),
  sinkPids,
  measured: tools.measured,
  scratch,
  workerFlags
}
await fillCompileCache(ground)

const results: CaseResult[] = []
for (const one of cases) {
  const result = await duel(ground, one, rounds)
  results.push(result)
  for (const line of summary(result)) say(line)
}
const dropped: CaseResult[] = []
if (full) {
  say('into a sink that drops')
  for (const one of cases.filter((one) => isLaidOut(one) && one.rate === undefined)) {
    const result = await duel({ ...ground, sinkFor: sinkOf('drop') }, one, rounds)
    dropped.push(result)
    for (const line of summary(result)) say(line)
  }
}
if (grows) say('growth')
const growth = grows ? { bySize: await growBySize(ground), byCrowd: await growByCrowd(ground) } : undefined

const command = ['npm run bench --', ...process.argv.slice(2)].join(' ')
const output = full ? import.meta.dirname : folder
const minutes = (Date.now() - startedAt.getTime()) / 60_000
await writeFile(join(folder, 'last-run.json'), JSON.stringify({ facts, results, dropped, growth }, null, 1))
await writeFile(join(output, 'results.svg'), chart(results))
await writeFile(
  join(output, 'RESULTS.md'),
  report({ facts, startedAt, minutes, command, rounds, images: [...images.values()], results, dropped, growth })
)
say(`written: ${join(output, 'RESULTS.md')}`)
