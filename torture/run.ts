import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { machineFacts } from '../bench/machine.ts'
import { type CampaignOptions, runCampaign } from './campaign.ts'
import { measureRecoveries } from './recoveries.ts'
import { report } from './report.ts'

// A campaign against the real processes; see README.md here. Ends with 1 if anything that has to hold did not.

const { values: given } = parseArgs({
  options: {
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1_000_000)) },
    minutes: { type: 'string' },
    kills: { type: 'string' },
    flushes: { type: 'string' },
    'database-crashes': { type: 'string' },
    stops: { type: 'string' },
    queue: { type: 'string', default: 'redis' },
    logs: { type: 'string' },
    recoveries: { type: 'string', default: '0' },
    report: { type: 'boolean', default: false }
  }
})
const say = (text: string) => process.stderr.write(`${text}\n`)
const number = (text: string | undefined) => (text === undefined ? undefined : Number(text))
/** So many leave two cores the time to export something in between. */
const KILLS_A_MINUTE = 13

const stop = new AbortController()
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort(new Error(name)))

const kills = number(given.kills)
const asked = {
  'kill -9 of a worker': kills,
  'the queue loses everything': number(given.flushes),
  'database killed, and started again': number(given['database-crashes']),
  'worker stopped for longer than its lease, then continued': number(given.stops)
}
const options: CampaignOptions = {
  seed: Number(given.seed),
  minutes: number(given.minutes) ?? (kills === undefined ? 1 : Math.ceil(kills / KILLS_A_MINUTE)),
  counts: Object.fromEntries(Object.entries(asked).filter(([, count]) => count !== undefined)),
  queue: given.queue === 'postgres' ? 'postgres' : 'redis',
  logs: given.logs,
  signal: stop.signal,
  say
}
const command = `npm run torture -- ${process.argv.slice(2).join(' ')}`.replace(/ --logs \S+/, '')
const again = command.includes('--seed') ? command : `${command} --seed ${given.seed}`

say(`seed ${options.seed}, ${options.minutes} minutes`)
const facts = await machineFacts()
const startedAt = new Date()
const recoveries = Number(given.recoveries) > 0 ? await measureRecoveries(Number(given.recoveries), options) : undefined
const result = await runCampaign(options)
const text = report({ options, command: again, facts, startedAt, result, recoveries })
process.stdout.write(text)
if (given.report) await writeFile(join(import.meta.dirname, '../bench/TORTURE.md'), text)
if (result.verdict.violations.length > 0 || recoveries?.late) {
  say(`VIOLATED. To run it again: ${again}`)
  process.exitCode = 1
}
