import type { CaseResult } from './duel.ts'
import { wallRatio } from './report.ts'

const ROW = 22
const TOP = 64
const LEFT = 270
const PLOT = 420
const RIGHT = 110
/** Between lines of the grid. */
const STEP = 0.25

const text = (content: string): string => content.replaceAll('&', '&amp;').replaceAll('<', '&lt;')

/** Bars of our wall time as a share of theirs, tuned where there is such; a thin line is the range. Readable on any ground. */
export function chart(results: readonly CaseResult[]): string {
  const bars = results.flatMap(({ case: one, ours, theirs }) =>
    ours.flatMap((side) => {
      const their = theirs.find(({ tuning }) => tuning === 'tuned') ?? theirs[0]
      if (!their) return []
      const protocol = one.protocols.length > 1 ? ` (${side.protocol.toUpperCase()})` : ''
      return [{ name: one.name + protocol, ...wallRatio(side, their) }]
    })
  )
  const steps = Math.ceil(Math.max(1.25, ...bars.map(({ max }) => max)) / STEP)
  const x = (ratio: number): number => LEFT + (ratio / (steps * STEP)) * PLOT
  const height = TOP + bars.length * ROW + 12
  const width = LEFT + PLOT + RIGHT
  const rows = bars.map(({ name, median, min, max }, index) => {
    const y = TOP + index * ROW
    const middle = y + ROW / 2
    return [
      `<text class="name" x="${LEFT - 8}" y="${middle}">${text(name)}</text>`,
      `<rect class="${median <= 1 ? 'faster' : 'slower'}" x="${LEFT}" y="${y + 4}" width="${(x(median) - LEFT).toFixed(1)}" height="${ROW - 8}" rx="2"/>`,
      `<line class="range" x1="${x(min).toFixed(1)}" x2="${x(max).toFixed(1)}" y1="${middle}" y2="${middle}"/>`,
      `<text class="figure" x="${(Math.max(x(max), x(median)) + 6).toFixed(1)}" y="${middle}">${median.toFixed(2)}</text>`
    ].join('\n')
  })
  const grid = Array.from({ length: steps + 1 }, (_step, index) => index * STEP).map((ratio) =>
    [
      `<line class="${ratio === 1 ? 'one' : 'grid'}" x1="${x(ratio)}" x2="${x(ratio)}" y1="${TOP - 6}" y2="${height - 8}"/>`,
      `<text class="tick" x="${x(ratio)}" y="${TOP - 14}">${ratio}</text>`
    ].join('\n')
  )
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="Wall time of ours as a share of qemu-img + curl">
<style>
text { font: 12px system-ui, sans-serif; fill: #57606a; dominant-baseline: middle }
.title { font-weight: 600; font-size: 14px }
.name { text-anchor: end } .tick { text-anchor: middle; font-size: 11px }
.faster { fill: #2f81f7 } .slower { fill: #d1742a }
.grid { stroke: #8b949e; stroke-opacity: .3 } .one { stroke: #8b949e; stroke-width: 2 } .range { stroke: #8b949e; stroke-width: 2 }
@media (prefers-color-scheme: dark) { text { fill: #c9d1d9 } }
</style>
<text class="title" x="12" y="20">Wall time, ours ÷ (qemu-img convert + curl): shorter is better, 1 is as fast</text>
${grid.join('\n')}
${rows.join('\n')}
</svg>
`
}
