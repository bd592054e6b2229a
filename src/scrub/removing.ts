import type { GuestChange, GuestFiles } from './guest.ts'
import { matching } from './matching.ts'

/** Removes all that the patterns name. */
export async function* removing(files: GuestFiles, patterns: readonly string[]): AsyncGenerator<GuestChange> {
  for (const pattern of patterns) {
    for await (const { path } of matching(files, pattern)) yield { kind: 'remove', path }
  }
}

/** Leaves folders as they are, with nothing in them; what is empty already, and what is no folder, is not touched. */
export async function* emptying(files: GuestFiles, folders: readonly string[]): AsyncGenerator<GuestChange> {
  for (const path of folders) if ((await files.list(path)).length > 0) yield { kind: 'empty', path }
}
