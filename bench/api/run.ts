import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { machineFacts } from '../machine.ts'
import { startGlance } from './glance.ts'
import type { Figures, Load } from './load.ts'
import { startOurs } from './ours.ts'
import { type CaseResult, report, summary } from './report.ts'
import { LOAD_CORE, rowId, type Side } from './side.ts'
import { runToEnd } from './tools.ts'

// Ours against a real Glance: [--rounds 5] [--seconds 5] [--connections 16] [--rows 1000000] [--profile FOLDER].
// Only a run with the figures above writes RESULTS.md here; others write it to BENCH_DIR.

const DEFAULTS = { rounds: '5', seconds: '5', connections: '16', rows: '1000000' }
const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: DEFAULTS.rounds },
    seconds: { type: 'string', default: DEFAULTS.seconds },
    connections: { type: 'string', default: DEFAULTS.connections },
    rows: { type: 'string', default: DEFAULTS.rows },
    profile: { type: 'string' }
  }
})
const full = Object.entries(DEFAULTS).every(([name, value]) => Reflect.get(options, name) === value) && !options.profile
const [rounds, seconds, connections, rows] = [options.rounds, options.seconds, options.connections, options.rows].map(
  Number
) as [number, number, number, number]
const folder = process.env.BENCH_DIR ?? join(import.meta.dirname, '../../data/bench-api')
const say = (text: string) => process.stderr.write(`${text}\n`)

/** Projects of their own: what one case stores changes nothing for another. */
const CREATING = 'bench:creating:member'
const SHOWN = 'shown'
const SHOWN_TASKS = 1000
const MILLION = 'million'

await using everything = new AsyncDisposableStack()
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, async () => {
    say(`stopping: ${signal}`)
    await everything.disposeAsync().catch(() => {})
    process.exit(1)
  })
}
const startedAt = new Date()
await rm(folder, { recursive: true, force: true })
everything.defer(() => rm(join(folder, 'service'), { recursive: true, force: true }))
everything.defer(() => rm(join(folder, 'glance'), { recursive: true, force: true }))
for (const name of ['service', 'glance']) await mkdir(join(folder, name), { recursive: true })
const facts = await machineFacts()

say('starting both')
const flags = options.profile ? ['--cpu-prof', '--cpu-prof-dir', options.profile] : []
const ours = await startOurs(join(folder, 'service'), 'creating', flags)
everything.defer(() => ours.stop())
const glance = await startGlance(join(folder, 'glance'))
everything.defer(() => glance.stop())

type Wish = Pick<Load, 'token' | 'requests'>
type Case = {
  readonly name: string
  /** How many times Glance's rate is wanted. */
  readonly target: number | undefined
  /** Where one request takes seconds, there is no sense in many at once. */
  readonly connections: number
  wish(side: Side): Wish
}
const get = (token: string, ...paths: string[]): Wish => ({
  token,
  requests: paths.map((path) => ({ method: 'GET', path }))
})
const reader = (project: string) => `bench:${project}:member`
const page = (index: number) => `/v2/tasks?limit=25&marker=${rowId(index)}`

const cases: readonly Case[] = [
  {
    name: 'create',
    target: 5,
    connections,
    wish: (side) => ({
      token: CREATING,
      requests: side.newTasks().map((body) => ({ method: 'POST', path: '/v2/tasks', body }))
    })
  },
  {
    name: 'show',
    target: 10,
    connections,
    wish: () => get(reader(SHOWN), ...Array.from({ length: 100 }, (_, index) => `/v2/tasks/${rowId(1e7 + index + 1)}`))
  },
  { name: 'list, 25 of 1,000', target: 10, connections, wish: () => get(reader(SHOWN), '/v2/tasks?limit=25') }
]
const amongMany: readonly Case[] = [
  { name: 'the first page', depth: 0 },
  { name: 'the page in the middle', depth: 0.5 },
  { name: 'the last page', depth: 1 }
].map(({ name, depth }) => ({
  name: `list, 25 of ${rows.toLocaleString('en')}, ${name}`,
  target: undefined,
  connections: 2,
  wish: () =>
    get(reader(MILLION), depth === 0 ? '/v2/tasks?limit=25' : page(Math.max(26, Math.round(rows * (1 - depth)))))
}))

const results: CaseResult[] = []
await Promise.all([ours, glance].map((side) => side.insertRows(SHOWN, SHOWN_TASKS, 1e7)))
for (const one of cases) results.push(await duel(one))
say(`inserting ${rows.toLocaleString('en')} tasks into each`)
for (const side of [ours, glance]) await side.insertRows(MILLION, rows, 0)
for (const one of amongMany) results.push(await duel(one))

const minutes = (Date.now() - startedAt.getTime()) / 60_000
const command = ['npm run bench:api', ...(process.argv.length > 2 ? ['--', ...process.argv.slice(2)] : [])].join(' ')
const output = full ? import.meta.dirname : folder
await writeFile(
  join(output, 'RESULTS.md'),
  report({ facts, startedAt, minutes, command, rounds, seconds, versions: await versions(), results })
)
say(`written: ${join(output, 'RESULTS.md')}`)

/** Both in turn, the first of a round being the second of the next. The first round does not count. */
async function duel(one: Case): Promise<CaseResult> {
  const figures: { ours: Figures[]; glance: Figures[] } = { ours: [], glance: [] }
  for (let round = 0; round <= rounds; round += 1) {
    const both = [
      { side: ours, into: figures.ours },
      { side: glance, into: figures.glance }
    ]
    for (const { side, into } of round % 2 === 0 ? both : both.reverse()) {
      const measured = await load(side, one)
      if (measured.bad > 0) throw new Error(`${one.name}: ${measured.bad} bad answers by ${side.name}`)
      if (round > 0) into.push(measured)
    }
  }
  const result = { name: one.name, target: one.target, connections: one.connections, ...figures }
  say(summary(result))
  return result
}

async function load(side: Side, { connections, wish }: Case): Promise<Figures> {
  const wanted: Load = { url: side.url, connections, seconds, ...wish(side) }
  const program = join(import.meta.dirname, 'load.ts')
  return JSON.parse(await runToEnd('taskset', ['-c', LOAD_CORE, process.execPath, program, JSON.stringify(wanted)]))
}

async function versions(): Promise<string> {
  const debian = await runToEnd('dpkg-query', ['-W', '--showformat', '$' + '{Version}', 'python3-glance'])
  return `Glance ${debian} (Debian), autocannon ${(await import('autocannon/package.json', { with: { type: 'json' } })).default.version}`
}
