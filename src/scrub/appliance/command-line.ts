import { Refused } from '../refused.ts'

/** guestfish reads at most 8191 bytes of a line, and would take the rest for the next command. */
const LINE_BYTES = 8000

/**
 * One command for guestfish's standard input. Each argument stands in double quotes, with all but the plainest bytes as
 * `\xNN`: so nothing in it is a pipe, a program of the host, a second command or a second argument.
 * @param args one character a byte (latin1)
 * @throws Refused where it cannot be said: a NUL, or too long
 * @see https://libguestfs.org/guestfish.1.html, "quoting"
 */
export function commandLine(command: string, ...args: readonly string[]): string {
  const line = [command, ...args.map((arg) => `"${arg.replace(/[^A-Za-z0-9_./-]/g, escaped)}"`)].join(' ')
  if (line.length > LINE_BYTES) throw new Refused('name-too-long', 'a path in it is too long for the appliance')
  return line
}

function escaped(byte: string): string {
  const code = byte.charCodeAt(0)
  if (code === 0 || code > 0xff) throw new Refused('name', 'a name in it cannot be told to the appliance')
  return `\\x${code.toString(16).padStart(2, '0')}`
}

/** Whether a name can be one of a list: there is no saying a backslash before a quote in it. */
export const fitsList = (name: string): boolean => !/['\\]/.test(name)

/** Names as the one argument that guestfish takes apart itself. */
export const listOf = (names: readonly string[]): string => names.map((name) => `'${name}'`).join(' ')

/** Names in lists that fit a line each, next to a path. */
export function* inLists(path: string, names: readonly string[]): Generator<readonly string[]> {
  const room = LINE_BYTES - 4 * path.length - 64
  let list: string[] = []
  let bytes = 0
  for (const name of names) {
    const more = 4 * name.length + 12
    if (bytes + more > room && list.length > 0) {
      yield list
      list = []
      bytes = 0
    }
    list.push(name)
    bytes += more
  }
  if (list.length > 0) yield list
}
