import { ext } from './ext/ext.ts'
import { fat } from './fat/fat.ts'
import type { FileSystemReader } from './file-system.ts'
import { swap } from './swap.ts'

/** Every file system whose free space can be told. */
export const fileSystems = (): readonly FileSystemReader[] => [ext, fat, swap]
