import { KiB } from '../../domain/bytes.ts'
import type { SecretFound } from '../../domain/scrub-report.ts'
import type { GuestFiles } from '../guest.ts'
import type { Look } from '../guest-editor.ts'
import { homesOf } from '../homes.ts'
import { matching } from '../matching.ts'
import { type SecretRule, secretRules } from './rules.ts'

/** Longer files are no keys and no settings that people write. */
const MAX_FILE_BYTES = 256 * KiB
/** In all of one guest. */
const MAX_FILES = 20_000
/** What a report can hold; where there are more, one says little. */
const MAX_FOUND = 100
const MAX_PATH = 256

/** Looks in well-known places for what lets somebody in elsewhere, and adds to `found` what and where; never what it says. */
export const secretsScan =
  (found: SecretFound[]): Look =>
  async (files, signal) => {
    const homes = await homesOf(files)
    let looked = 0
    for (const rule of secretRules) {
      for (const pattern of placesOf(rule, homes)) {
        for await (const { path, kind } of matching(files, pattern)) {
          signal.throwIfAborted()
          looked += 1
          if (looked > MAX_FILES || found.length >= MAX_FOUND) return
          if (kind === 'file' && (await holds(files, path, rule))) found.push({ rule: rule.id, path: printable(path) })
        }
      }
    }
  }

/** A user's folder whose name has a `*` in it is no pattern, and is left out. */
const placesOf = ({ inHomes, elsewhere }: SecretRule, homes: readonly string[]): string[] => [
  ...homes.filter((home) => !home.includes('*')).flatMap((home) => inHomes.map((path) => `${home}/${path}`)),
  ...elsewhere
]

async function holds(files: GuestFiles, path: string, { holds }: SecretRule): Promise<boolean> {
  const bytes = await files.read(path, MAX_FILE_BYTES)
  if (!bytes || bytes.length === 0) return false
  return !holds || holds.test(bytes.toString('latin1'))
}

/** A path of the guest as a report may show it. */
const printable = (path: string): string =>
  Buffer.from(path, 'latin1')
    .toString('utf8')
    .replaceAll(/[^\p{L}\p{N}\p{P}\p{S} ]/gu, '\u{fffd}')
    .slice(0, MAX_PATH)
