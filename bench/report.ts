import { MiB } from '../src/domain/bytes.ts'
import type { BenchCase } from './cases.ts'
import type { Sample } from './contenders.ts'
import type { CaseResult } from './duel.ts'
import type { CrowdRow, GrowthRow } from './growth.ts'
import type { BenchImage } from './images.ts'
import { ratios, type Spread, spread } from './statistics.ts'

export type Run = {
  readonly facts: readonly string[]
  readonly startedAt: Date
  readonly minutes: number
  readonly command: string
  readonly rounds: number
  readonly images: readonly BenchImage[]
  readonly results: readonly CaseResult[]
  /** The laid-out ones again, into a sink that drops. */
  readonly dropped: readonly CaseResult[]
  readonly growth: { readonly bySize: readonly GrowthRow[]; readonly byCrowd: readonly CrowdRow[] } | undefined
}

type Side = { readonly samples: readonly Sample[] }
const column = ({ samples }: Side, field: keyof Sample): number[] => samples.map((sample) => sample[field])
const medianOf = (side: Side, field: keyof Sample): number => spread(column(side, field)).median
export const wallRatio = (ours: Side, theirs: Side): Spread => ratios(column(ours, 'wallMs'), column(theirs, 'wallMs'))

/** What is compared with a target: `of` says what, `figure` is the median that has to be at most `most`. */
type Check = { readonly of: string; readonly figure: number; readonly most: number; readonly text: string }

function checksOf({ case: one, ours, theirs }: CaseResult): Check[] {
  return ours.flatMap((side) => {
    const name = label(one, side.protocol)
    const walls = theirs.flatMap(({ tuning, samples }) => {
      const most = one.targets.wall[tuning]
      const ratio = wallRatio(side, { samples })
      return most === undefined
        ? []
        : [{ of: `${name}: wall, to ${tuning}`, figure: ratio.median, most, text: withRange(ratio) }]
    })
    const theirBytes = Math.min(...theirs.map((their) => medianOf(their, 'sentBytes')))
    const bytes = medianOf(side, 'sentBytes') / theirBytes
    const rss = spread(column(side, 'rssBytes')).max / MiB
    const disk = spread(column(side, 'diskBytes')).max
    return [
      ...walls,
      ...lineChecks(name, one, side),
      {
        of: `${name}: bytes sent`,
        figure: bytes,
        most: one.targets.bytes,
        text: `${bytes.toFixed(4)} (${(medianOf(side, 'sentBytes') - theirBytes).toFixed(0)} B)`
      },
      { of: `${name}: peak memory, MiB`, figure: rss, most: one.targets.rssMiB, text: rss.toFixed(0) },
      { of: `${name}: staging disk, bytes`, figure: disk, most: 0, text: disk.toFixed(0) }
    ]
  })
}

function lineChecks(name: string, { rate, targets: { line } }: BenchCase, side: Side): Check[] {
  if (rate === undefined || line === undefined) return []
  const times = spread(side.samples.map(({ wallMs, sentBytes }) => wallMs / ((sentBytes / rate) * 1000)))
  return [{ of: `${name}: wall, to bytes/rate`, figure: times.median, most: line, text: withRange(times) }]
}

const label = (one: BenchCase, protocol: string): string =>
  one.protocols.length > 1 ? `${one.name} (${protocol.toUpperCase()})` : one.name
const withRange = ({ median, min, max }: Spread): string => `${median.toFixed(2)} (${min.toFixed(2)}–${max.toFixed(2)})`
const seconds = (ms: Spread): string =>
  `${(ms.median / 1000).toFixed(2)} (${(ms.min / 1000).toFixed(2)}–${(ms.max / 1000).toFixed(2)})`

/** One line a contender of ours, for the screen. */
export const summary = ({ case: one, ours, theirs }: CaseResult): string[] =>
  ours.map((side) => {
    const against = theirs.map((their) => {
      const wall = (medianOf(their, 'wallMs') / 1000).toFixed(2)
      return `${their.tuning} ${wall} s: ${withRange(wallRatio(side, their))}`
    })
    const rss = (spread(column(side, 'rssBytes')).max / MiB).toFixed(0)
    const wall = (medianOf(side, 'wallMs') / 1000).toFixed(2)
    return `${label(one, side.protocol).padEnd(40)} ${wall} s, ${rss} MiB; ${against.join('; ')}`
  })

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map((_name, index) => (index === 0 ? '---' : '---:')), ...rows]
    .map((row) => `| ${row.join(' | ')} |`)
    .join('\n')

/** RESULTS.md. */
export function report(run: Run): string {
  const checks = run.results.flatMap(checksOf)
  const missed = checks.filter(({ figure, most }) => !(figure <= most))
  return [
    '# Results',
    `Ours against what people do today, \`qemu-img convert\` to a file and then \`curl -T\`, into the same sink. Written by \`${run.command}\` on ${run.startedAt.toISOString().slice(0, 10)} in ${run.minutes.toFixed(0)} minutes.`,
    run.facts.map((fact) => `- ${fact}`).join('\n'),
    '![Wall time of ours as a share of qemu-img + curl](results.svg)',
    '## Targets',
    `${checks.length - missed.length} of ${checks.length} are met. A ratio is ours divided by theirs, pair by pair; median (least–most).`,
    missed.length === 0 ? '' : targetTable('Not met', missed),
    targetTable(
      'Met',
      checks.filter((check) => !missed.includes(check))
    ),
    '## Each export',
    `Median of ${run.rounds} rounds (least–most) after one that does not count. S3 is a multipart upload by us against the same curl to HTTP. CPU: all processes of each side (worker, API and PostgreSQL; qemu-img and curl), not the sink. Memory: the highest of all rounds, of the worker or of the larger of the two programs.`,
    exportTable(run.results),
    ...(run.dropped.length > 0 ? ['## Into a sink that drops', DROPPED, exportTable(run.dropped)] : []),
    ...(run.growth ? growthTables(run.growth) : []),
    '## How it is measured',
    HOW,
    table(
      ['image', 'format', 'MB on disk'],
      run.images.map(({ name, diskFormat, allocatedBytes }) => [name, diskFormat, (allocatedBytes / 1e6).toFixed(0)])
    )
  ]
    .filter((block) => block !== '')
    .join('\n\n')
    .concat('\n')
}

const targetTable = (title: string, checks: readonly Check[]): string =>
  `### ${title}\n\n${table(
    ['', 'measured', 'target'],
    checks.map(({ of, text, most }) => [of, text, most === 0 ? '0' : `≤ ${most}`])
  )}`

const exportTable = (results: readonly CaseResult[]): string =>
  table(
    ['export', 'wall s', 'ratio', 'CPU s', 'CPU ratio', 'memory MiB', 'disk MB', 'sent MB'],
    results.flatMap(({ case: one, ours, theirs }) => {
      const figures = (side: Side, against?: Side) => [
        seconds(spread(column(side, 'wallMs'))),
        against ? withRange(wallRatio(against, side)) : '',
        (medianOf(side, 'cpuMs') / 1000).toFixed(2),
        against ? ratios(column(against, 'cpuMs'), column(side, 'cpuMs')).median.toFixed(2) : '',
        (spread(column(side, 'rssBytes')).max / MiB).toFixed(0),
        (spread(column(side, 'diskBytes')).max / 1e6).toFixed(0),
        (medianOf(side, 'sentBytes') / 1e6).toFixed(1)
      ]
      return ours.flatMap((side) => [
        [`**${label(one, side.protocol)}**`, ...figures(side)],
        ...theirs.map((their) => [`qemu-img ${their.tuning} + curl`, ...figures(their, side)])
      ])
    })
  )

function growthTables({ bySize, byCrowd }: NonNullable<Run['growth']>): string[] {
  const mb = (bytes: number) => (bytes / 1e6).toFixed(0)
  const rate = (bytes: number, ms: number) => (bytes / 1e3 / ms).toFixed(0)
  return [
    '## Against size',
    'One export each from qcow2, a sixteenth of the disk being data; 64 MiB of it in the disk of 1 TiB. MB/s are of the data read.',
    table(
      ['export', 'virtual GiB', 'data MB', 'wall s', 'MB/s', 'CPU s', 'memory MiB'],
      bySize.map((row) => [
        row.way,
        String(row.sizeGiB),
        mb(row.dataBytes),
        (row.wallMs / 1000).toFixed(2),
        rate(row.dataBytes, row.wallMs),
        (row.cpuMs / 1000).toFixed(2),
        (row.rssBytes / MiB).toFixed(0)
      ])
    ),
    '## Against the number of exports at once',
    'By one worker. MB/s are of what was sent, all exports together.',
    table(
      ['export', 'at once', 'wall s', 'MB/s', 'CPU s', 'memory MiB'],
      byCrowd.map((row) => [
        row.way,
        String(row.exports),
        (row.wallMs / 1000).toFixed(2),
        rate(row.sentBytes, row.wallMs),
        (row.cpuMs / 1000).toFixed(2),
        (row.rssBytes / MiB).toFixed(0)
      ])
    )
  ]
}

const DROPPED =
  'The uncompressed exports once more, into a sink that drops bodies inside the kernel: no receiver takes part of the cores.'

const HOW = [
  '- The service is the real one: API, worker and its own PostgreSQL as processes, images uploaded to its library. The time is from the POST of the task to the success written down; qemu-img reads the same file of the library.',
  '- Contenders take turns within a round, so that what slows the machine slows all of them. A case begins with a new worker and one round that does not count. Sources are in the page cache, and so is the file between qemu-img and curl, which is kind to them.',
  '- The sink is a process on the same machine that reads bodies into a buffer of 64 KiB and forgets them (`sink.c`), so it takes its share of the same cores, as the one did that the targets were set with: there `curl -T` of 2.19 GB took 1.06 s and 0.70 s of CPU, so it waited for its receiver. Into this sink it takes 0.7–1.4 s with 0.5–1.0 s of CPU; into one that drops bodies inside the kernel (`--sink drop`) 0.77 s, all of it its own CPU. With a rate the sink carries so many bytes a second, all connections together.',
  '- The targets were set with a prototype that computed no digest. The service computes the SHA-256 of every output, which is serial: 1.8 GB/s on one core of this machine, so 2.47 GB take 1.35 s at least and the 3.22 GB of a raw disk 1.76 s, zeros included.',
  '- Processes are started as `npm run start:http` and `start:worker` start them, from a filled compile cache.',
  '- Memory is the peak resident size (`VmHWM`, reset before each export; `ru_maxrss`). Staging disk of ours is the larger of the growth of its folders and of what the kernel was given to write by the worker; of theirs the file in between.',
  "- `tuned` is `-W -m 16`. Images are disks with a GPT and ext4 full of this machine's files: `syn` has 8 GiB, `debian` 3, `slice` 1."
].join('\n')
