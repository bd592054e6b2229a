import { MiB } from '../../src/domain/bytes.ts'
import { type Spread, spread } from '../statistics.ts'
import type { ApplianceTime } from './appliance-time.ts'

export type Export = {
  readonly format: 'qcow2' | 'raw' | 'vmdk'
  readonly profile: 'none' | 'generalize'
  readonly seconds: number
  /** Of the file; `allocated` is what it occupies. */
  readonly bytes: number
  readonly allocated: number
  /** What the task says of it. */
  readonly scrubSeconds: number
  readonly path: string
  /** Planted secrets in its bytes, where they were looked for. */
  readonly left: number | undefined
}

type Results = {
  readonly facts: readonly string[]
  readonly exports: readonly Export[]
  readonly pairs: number
  readonly secrets: number
  readonly sizeMiB: number
  readonly appliance: ApplianceTime | undefined
}

const TARGET_SECONDS = 2

/** What bench/SCRUB.md says. */
export function report({ facts, exports, pairs, secrets, sizeMiB, appliance }: Results): string {
  const formats = [...new Set(exports.map(({ format }) => format))]
  const of = (format: string, profile: string) =>
    exports.filter((one) => one.format === format && one.profile === profile)
  const rows = formats.flatMap((format) => {
    const plain = of(format, 'none')
    const scrubbed = of(format, 'generalize')
    const added = spread(scrubbed.map(({ seconds }, i) => seconds - (plain[i]?.seconds ?? Number.NaN)))
    const allocated = (some: readonly Export[]) => `${Math.round((some[0]?.allocated ?? 0) / MiB)} MiB`
    const smaller = (scrubbed[0]?.allocated ?? Number.NaN) <= (plain[0]?.allocated ?? 0)
    return [
      `| ${format}, as it is | ${range(spread(plain.map(({ seconds }) => seconds)))} | | ${allocated(plain)} | ${leftIn(plain)} | |`,
      `| ${format}, generalize (${scrubbed[0]?.path}, by itself ${itself(scrubbed)} s) | ${range(spread(scrubbed.map(({ seconds }) => seconds)))} | ${range(added)} | ${allocated(scrubbed)} | ${leftIn(scrubbed)} | ${added.median <= TARGET_SECONDS && smaller && leftIn(scrubbed) === '0' ? 'met' : 'missed'} |`
    ]
  })
  const slow = appliance
    ? `The same guest through the appliance, with its processor emulated: ${appliance.seconds.toFixed(1)} s for the scrub alone, and ${appliance.left} secrets left.`
    : 'The appliance was not measured: libguestfs is not installed here.'
  return `# What a scrub costs

A Debian 12 of ${sizeMiB} MiB that was lived in, with ${secrets} secrets planted: keys, histories, logs, names and a deleted file.
Exported through the service to a folder of the same machine, with the profiles \`none\` and \`generalize\` in turns, ${pairs} pairs
after one to warm up. Seconds are the median and, in brackets, the least and most; "added" is pair by pair, "by itself" what
the task's report says. Secrets are searched
for in the bytes of the file. Target: at most ${TARGET_SECONDS} s more, the file not larger, no secret left.

| export | seconds | added | file occupies | secrets left of ${secrets} | target |
|---|---|---|---|---|---|
${rows.join('\n')}

${slow}

Measured on:

${facts.map((fact) => `* ${fact}`).join('\n')}

\`npm run bench:scrub\` measures again.
`
}

const range = ({ median, min, max }: Spread): string => `${median.toFixed(2)} (${min.toFixed(2)} – ${max.toFixed(2)})`

const itself = (some: readonly Export[]): string =>
  spread(some.map(({ scrubSeconds }) => scrubSeconds)).median.toFixed(2)

const leftIn = (some: readonly Export[]): string => String(some.find(({ left }) => left !== undefined)?.left ?? '?')
