import type { DiskReader } from './disk.ts'
import { qcow2 } from './qcow2/qcow2.ts'
import { raw } from './raw.ts'

/** Readers by the `disk_format` they read. A Map, so that `__proto__` and the like are just unknown names. */
export type DiskReaders = ReadonlyMap<string, DiskReader>

/** Every disk format that can be read. */
export const diskReaders = (): DiskReaders => new Map([raw, qcow2].map((reader) => [reader.name, reader]))
