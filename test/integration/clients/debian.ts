import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { promisify } from 'node:util'
import { describe } from 'vitest'

/** A client of OpenStack as Debian packages it, by a file of its own: another Python on PATH would not find its modules. */
export const DEBIAN = {
  glance: { file: '/usr/bin/glance', package: 'python3-glanceclient' },
  openstack: { file: '/usr/bin/openstack', package: 'python3-openstackclient' },
  sdk: { file: '/usr/lib/python3/dist-packages/openstack/__init__.py', package: 'python3-openstacksdk' }
} as const

/** As `describe`. Without the package the tests are skipped, and the run says at its end how many, and why. */
export function describeWithClient(client: keyof typeof DEBIAN, name: string, body: () => void): void {
  const { file, package: debian } = DEBIAN[client]
  if (existsSync(file)) describe(name, body)
  else describe.skip(name, { meta: { skipReason: `not installed: ${debian}` } }, body)
}

const run = promisify(execFile)
/** Nothing of the caller's: neither proxies nor a cloud that is configured. */
const ENV = { LC_ALL: 'C.UTF-8', NO_PROXY: '*' }

/** What a program printed. Rejects, with all of it as the message, when it fails. */
export async function printed(home: string, program: string, ...args: readonly string[]): Promise<string> {
  const { stdout } = await run(program, [...args], { env: { ...ENV, HOME: home } }).catch(
    (error: { stdout: string; stderr: string }) => {
      throw new Error(`${error.stdout}${error.stderr}`)
    }
  )
  return stdout
}

/** Runs a Python program, of this folder, that prints JSON. */
export const python = async (home: string, program: string, ...args: readonly string[]): Promise<unknown> =>
  JSON.parse(await printed(home, '/usr/bin/python3', `${import.meta.dirname}/${program}`, ...args))
