/**
 * Connection lost, no room or connections, being stopped or started, locks or transactions that others won, and read only, as
 * after a failover.
 */
const SQLSTATE = /^(08|53|57|40)...$|^55P03$|^25006$/
const ERRNO = new Set(['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ENOENT', 'ETIMEDOUT'])
/** The driver has no code for these. */
const MESSAGES = new Set([
  'timeout exceeded when trying to connect',
  'timeout expired',
  'Connection terminated due to connection timeout',
  'Connection terminated unexpectedly',
  'Client has encountered a connection error and is not queryable'
])

/**
 * Whether the database could not serve just now, and nothing is wrong with what it was asked.
 * @see https://www.postgresql.org/docs/current/errcodes-appendix.html
 */
export function isDatabaseTrouble(error: unknown): boolean {
  const { code, message, syscall } = Object(error) as { code?: unknown; message?: unknown; syscall?: unknown }
  if (MESSAGES.has(String(message))) return true
  if (typeof code !== 'string') return false
  return (
    SQLSTATE.test(code) || (ERRNO.has(code) && (syscall === 'connect' || syscall === 'read' || syscall === 'write'))
  )
}
