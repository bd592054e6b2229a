import { ratios, type Spread, spread } from '../statistics.ts'
import type { Figures } from './load.ts'
import { IMAGES } from './side.ts'

export type CaseResult = {
  readonly name: string
  readonly target: number | undefined
  readonly connections: number
  /** Round by round. */
  readonly ours: readonly Figures[]
  readonly glance: readonly Figures[]
}

export type Run = {
  readonly facts: readonly string[]
  readonly versions: string
  readonly startedAt: Date
  readonly minutes: number
  readonly command: string
  readonly rounds: number
  readonly seconds: number
  readonly results: readonly CaseResult[]
}

const rates = (side: readonly Figures[]): number[] => side.map(({ rate }) => rate)
const ratio = ({ ours, glance }: CaseResult): Spread => ratios(rates(ours), rates(glance))
const per = (rate: number): string => (rate >= 100 ? rate.toFixed(0) : rate.toPrecision(2))
const withRange = ({ median, min, max }: Spread, text: (value: number) => string): string =>
  `${text(median)} (${text(min)}–${text(max)})`
const times = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toFixed(1))

/** One line for the screen. */
export const summary = (result: CaseResult): string => {
  const [ours, glance] = [spread(rates(result.ours)).median, spread(rates(result.glance)).median]
  return `${result.name.padEnd(48)} ${per(ours)}/s, Glance ${per(glance)}/s: ${withRange(ratio(result), times)} times`
}

const verdict = (result: CaseResult): string =>
  result.target === undefined
    ? ''
    : `${ratio(result).median >= result.target ? 'met' : '**missed**'}: ≥ ${result.target}`

/** RESULTS.md. */
export function report(run: Run): string {
  const latency = (side: readonly Figures[], field: 'p50' | 'p99') =>
    spread(side.map((one) => one[field])).median.toFixed(0)
  const rows = run.results.flatMap((result) => [
    [
      `**${result.name}**`,
      String(result.connections),
      withRange(spread(rates(result.ours)), per),
      latency(result.ours, 'p50'),
      latency(result.ours, 'p99'),
      withRange(ratio(result), times),
      verdict(result)
    ],
    [
      'Glance',
      '',
      withRange(spread(rates(result.glance)), per),
      latency(result.glance, 'p50'),
      latency(result.glance, 'p99'),
      '',
      ''
    ]
  ])
  const head = ['', 'connections', 'answers/s', 'p50 ms', 'p99 ms', 'ratio', 'target']
  const table = [head, head.map((_name, index) => (index === 0 ? '---' : '---:')), ...rows]
  return `# Results

The API against a real Glance on the same core in the same run. Written by \`${run.command}\` on ${run.startedAt
    .toISOString()
    .slice(0, 10)} in ${run.minutes.toFixed(0)} minutes.

${[...run.facts, run.versions].map((fact) => `- ${fact}`).join('\n')}

${table.map((row) => `| ${row.join(' | ')} |`).join('\n')}

Median of ${run.rounds} rounds of ${run.seconds} s (least–most), after one that does not count. The ratio is of answers a second,
round by round.

## How it is measured

- All of a side runs on one core: the API and PostgreSQL of ours, Glance's one process with SQLite. The load generator has
  the other core. The sides take turns, the first of a round being the second of the next.
- Ours is the real thing: \`npm run start:http\` with identity, validation, logging; a create checks destination and image, seals the
  credentials, locks the image (one of ${IMAGES} in turn), stores the task durably and rings for a worker. No worker runs.
- Glance has no Keystone either: a filter takes the same tokens as ours, and \`tasks_api_access\` is open to members. Its tasks are
  of type import. It would begin to work on each at once, in the same process: that is taken out, in its favour. Both databases
  are as they come: a task is on the disk before the answer.
- A show asks for 100 tasks in turn. Every page is asked for with \`limit=25\`. Rows for lists are inserted by SQL, a second apart.
`
}
