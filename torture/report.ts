import type { CampaignOptions, CampaignResult } from './campaign.ts'
import { CRASH_POINTS } from './crash-points.ts'
import type { Recoveries } from './recoveries.ts'

export type Reported = {
  readonly options: CampaignOptions
  readonly command: string
  readonly facts: readonly string[]
  readonly startedAt: Date
  readonly result: CampaignResult
  readonly recoveries: Recoveries | undefined
}

/** The campaign as Markdown. */
export function report({ options, command, facts, startedAt, result, recoveries }: Reported): string {
  const { verdict, deaths, rows } = result
  const died = (how: string) => deaths.filter((death) => death.how === how)
  const failed = verdict.violations
  return `# Torture

What the service lives through, and what holds afterwards. Written by \`${command}\`;
[torture/](../torture/README.md) says what is done.

* ${startedAt.toISOString().slice(0, 10)}, seed ${options.seed}, ${options.minutes} minutes of faults, ${result.workers} workers and one API, queue on ${result.queue}, a lease of ${result.leaseSeconds} s
${facts.map((fact) => `* ${fact}`).join('\n')}

**${rows.length} tasks, ${died('killed').length + died('crash point').length} processes killed, ${failed.length} violations.**

## What went wrong

${table(['fault', 'times'], Object.entries(result.planned))}
Besides these, processes were started with a point in the code where they kill themselves:

${table(
  ['crash point', 'kills'],
  count(died('crash point').map(({ crashAt = '' }) => `${CRASH_POINTS.get(crashAt) ?? crashAt} (\`${crashAt}\`)`))
)}
Supervised as by systemd: ${died('did not start').length} starts failed because the database was away, ${died('terminated').length} processes ended on SIGTERM.
${result.missing.map((one) => `\nNot shown here: ${one}.\n`).join('')}
## What held

${table(
  ['', 'looked at', 'violated'],
  [...verdict.looks].map(([what, { times, violations }]) => [what, times, violations.length])
)}${failed.length > 0 ? `\n${failed.map((one) => `* ${one}`).join('\n')}\n` : ''}
## What became of the tasks

${table(['ended as', 'tasks'], count(rows.map(({ status, code }) => (code === null ? status : code))))}
Attempts of a task: ${spread(rows.map(({ attempts }) => attempts))}. The last task ended ${result.quietAfterSeconds} s after the last fault.
${result.load.cancels} cancels (${result.load.refusedCancels} refused, as the commit had begun or the task had ended), ${result.load.deletes} images deleted while they were exported, ${result.load.lockedImages} deletions refused with 409.
The API answered ${result.api.tookMs.length} requests: ${spread(result.api.tookMs.map(Math.round), ' ms')}; ${result.api.refused} with 503, and ${result.api.unanswered} found it away.

## Recovery

${table(
  ['a task whose worker died', 'times', 'p50', 'max'],
  [...result.recoveries].map(([how, ms]) => [how, ms.length, seconds(quantile(ms, 0.5)), seconds(Math.max(...ms))])
)}
Until the task was claimed again or had ended, database outages included; with this campaign's lease of ${result.leaseSeconds} s.
${recoveries ? `By default settings (a lease of 30 s, a sweep every 5 s), ${recoveries.tookMs.length} workers killed: ${seconds(quantile(recoveries.tookMs, 0.5))} at p50, ${seconds(Math.max(...recoveries.tookMs))} at most; 45 s are promised.\n` : ''}
## Bytes sent twice

S3 took ${gib(result.s3.taken)} in parts for objects of ${gib(result.s3.kept)}: ${percent(result.s3.taken / result.s3.kept - 1)} were sent again, over all kills, resets, refused parts and lost answers.

## What the service said

${table(['warning or error', 'times'], [...result.said])}`
}

function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const line = (cells: readonly (string | number)[]) => `| ${cells.join(' | ')} |\n`
  return line(head) + line(head.map(() => '---')) + rows.map(line).join('')
}

const count = (names: readonly string[]): [string, number][] =>
  [...Map.groupBy(names, (name) => name)].map(([name, those]): [string, number] => [name, those.length]).sort(byCount)
const byCount = ([, one]: [string, number], [, other]: [string, number]) => other - one

function quantile(values: readonly number[], part: number): number {
  return values.toSorted((one, other) => one - other)[Math.floor((values.length - 1) * part)] ?? Number.NaN
}

const spread = (values: readonly number[], unit = ''): string =>
  `${quantile(values, 0.5)}${unit} at p50, ${quantile(values, 0.99)}${unit} at p99, ${Math.max(...values)}${unit} at most`
const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`
const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(2)} GiB`
const percent = (part: number): string => `${(part * 100).toFixed(1)} %`
