import pg from 'pg'

export type PoolSettings = {
  readonly url: string
  /** Connections at most. */
  readonly max: number
  /** Told of a connection that broke while idle; the next query opens another. */
  readonly onError: (error: Error) => void
}

/**
 * Connections with the time limits that every statement of ours has to live with: a lock that is not had in 2 s, a statement
 * that runs for 10 s, or a transaction left open for 15 s is a fault, and must not become everybody's.
 */
export function createPool({ url, max, onError }: PoolSettings): pg.Pool {
  const pool = new pg.Pool({
    connectionString: url,
    max,
    connectionTimeoutMillis: 5_000,
    lock_timeout: 2_000,
    statement_timeout: 10_000,
    idle_in_transaction_session_timeout: 15_000,
    application_name: 'glance-export'
  })
  pool.on('error', onError)
  // Nobody listens to a connection between its opening and its first statement, and what is heard by nobody ends the process.
  pool.on('connect', (client) => client.on('error', () => {}))
  return pool
}

/** Runs `work` in one READ COMMITTED transaction: committed when it returns, rolled back when it throws. */
export async function inTransaction<T>(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect()
  let broken: Error | undefined
  let lost: Error | undefined
  const onError = (error: Error) => {
    lost = error
  }
  client.on('error', onError)
  try {
    await client.query('begin isolation level read committed') // the image lock is proved for no other
    const result = await work(client)
    await client.query('commit')
    return result
  } catch (error) {
    await client.query('rollback').catch((rollbackError: Error) => {
      broken = rollbackError // a connection that cannot roll back is not given to anybody else
    })
    throw lost ?? error // a connection that has broken says of the next query only that it cannot be asked
  } finally {
    client.off('error', onError)
    client.release(lost ?? broken)
  }
}
