import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Fish } from '../../src/scrub/appliance/fish.ts'

/**
 * A program in guestfish's place that answers as it is told and writes down what it was asked.
 * @param cases of a shell's `case`, for lines of commands
 */
export async function fakeFish(cases: string) {
  const folder = await mkdtemp(join(tmpdir(), 'fake-fish-'))
  const program = join(folder, 'guestfish')
  const asked = join(folder, 'asked')
  await writeFile(
    program,
    `#!/bin/bash
while read -r line; do
  printf '%s\\n' "$line" >> "$ASKED"
  case $line in
    'echo '*) echo "\${line#echo }" ;;
${cases}
  esac
done
`
  )
  await chmod(program, 0o755)
  const fish = new Fish([program], folder, { ASKED: asked, PATH: '/usr/bin:/bin' }, new AbortController().signal)
  return {
    fish,
    asked: async () => (await readFile(asked, 'utf8')).split('\n'),
    async [Symbol.asyncDispose]() {
      await fish[Symbol.asyncDispose]()
      await rm(folder, { recursive: true })
    }
  }
}
