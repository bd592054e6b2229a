import { FormatOptionsInvalid } from '../domain/errors.ts'
import type { FormatOptions } from '../domain/task.ts'
import type { Format } from './format.ts'
import type { PackedFormat } from './packing.ts'

/** The options a format takes, and the values of each. */
type OptionValues = {
  readonly compression?: readonly string[]
  /** Lowest and highest. */
  readonly level?: readonly [number, number]
  /** Bytes. */
  readonly cluster_size?: readonly number[]
  readonly subformat?: readonly string[]
}

/** Properties of the image that may leave with it. */
export type ToldProperties = Readonly<Record<string, string>>

/** One `export_format` and the ways it can be written. */
export interface FormatFamily {
  readonly name: string
  readonly options: OptionValues
  /** Bytes of the largest disk it holds when no option is given; null: no limit of its own. */
  readonly maxVirtualSize: number | null
  /** Whether its files tell properties of the image. */
  readonly tells?: true
  /** Options were checked against `options`; what is left out is the default. @throws FormatOptionsInvalid */
  choose(options: FormatOptions, told?: ToldProperties): Format | PackedFormat
}

/** @throws FormatOptionsInvalid for an option or a value that the family does not take */
export function chooseFormat(
  family: FormatFamily,
  options: FormatOptions,
  told: ToldProperties = {}
): Format | PackedFormat {
  for (const [name, value] of Object.entries(options)) {
    const values = family.options[name as keyof OptionValues]
    if (!values) throw new FormatOptionsInvalid(name, `the format ${family.name} does not take it`)
    const [low = 0, high = 0] = family.options.level ?? []
    const allowed =
      name === 'level' ? Number(value) >= low && Number(value) <= high : values.some((one) => one === value)
    const choice = name === 'level' ? `from ${low} to ${high}` : `one of ${values.join(', ')}`
    if (!allowed) throw new FormatOptionsInvalid(name, `for ${family.name} it must be ${choice}`)
  }
  return family.choose(options, told)
}
