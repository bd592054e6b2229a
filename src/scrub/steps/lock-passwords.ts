import { MiB } from '../../domain/bytes.ts'
import type { ScrubStep } from '../scrub-step.ts'

const FILES = ['/etc/shadow', '/etc/shadow-', '/etc/gshadow', '/etc/gshadow-']
/** What stands for a password where none is good, and hides none. */
const LOCKED = new Set(['!', '*', '!!', '!*'])

/**
 * Off unless it is asked for: who has no key cannot log in any more. What is not a field of a password stays, byte for byte.
 * @see shadow(5)
 */
export const lockPasswords: ScrubStep = {
  id: 'lock-passwords',
  about: 'the hashes of passwords: no password is good any more',
  generalizes: false,
  async *changes(files) {
    for (const path of FILES) {
      const text = (await files.read(path, MiB))?.toString('latin1')
      if (text === undefined) continue
      const locked = text.split('\n').map(lock).join('\n')
      if (locked !== text) yield { kind: 'write', path, bytes: Buffer.from(locked, 'latin1'), mode: 0o600 }
    }
    const earlier = '/etc/security/opasswd'
    const entry = await files.stat(earlier)
    if (entry?.kind === 'file' && entry.bytes > 0) yield { kind: 'empty', path: earlier }
  }
}

function lock(line: string): string {
  const [name = '', password, ...rest] = line.split(':')
  return password === undefined || LOCKED.has(password) ? line : [name, '!', ...rest].join(':')
}
