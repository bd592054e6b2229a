/** The embedded PostgreSQL could not be started, or ended by itself. The message says what the operator can do. */
export class EmbeddedPostgresError extends Error {
  override readonly name = 'EmbeddedPostgresError'
}
