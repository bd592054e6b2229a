import type { DiskReader } from './disk.ts'
import { qcow2 } from './qcow2/qcow2.ts'
import { aki, ami, ari, iso, raw } from './raw.ts'
import { vdi } from './vdi.ts'
import { vhd } from './vhd/vhd.ts'
import { vhdx } from './vhdx/vhdx.ts'
import { vmdk } from './vmdk/vmdk.ts'

/** Readers by the `disk_format` they read. A Map, so that `__proto__` and the like are just unknown names. */
export type DiskReaders = ReadonlyMap<string, DiskReader>

/** Every disk format that can be read. */
export const diskReaders = (): DiskReaders =>
  new Map([raw, qcow2, vmdk, vdi, iso, ami, aki, ari, vhd, vhdx].map((reader) => [reader.name, reader]))
