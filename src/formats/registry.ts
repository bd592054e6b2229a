import type { Format } from './format.ts'
import { qcow2 } from './qcow2.ts'
import { raw } from './raw.ts'

export type Formats = ReadonlyMap<string, Format>

/** Every format an image can be exported to: one line each. */
export function createFormats(): Formats {
  return new Map([raw, qcow2()].map((format) => [format.name, format]))
}
