import { CLEANING_ATTEMPTS, CLEANING_TIME, ONGOING, UNHELD } from './task-sql.ts'

/**
 * What a worker may take now, by the time of the statement: that of its transaction may be from before it had to wait. The bound
 * on `rank` is no further condition: it ends a walk along the index.
 */
export const DUE = `${ONGOING} and ${UNHELD} and next_run_at <= statement_timestamp()
  and rank <= statement_timestamp() at time zone 'UTC' + interval '30 minutes'
  and attempts < max_attempts + ${CLEANING_ATTEMPTS} and now() < deadline + ${CLEANING_TIME}`

/** Of S3 it is the bucket; empty where nothing leaves this service, and never full then. */
export const HOST = `coalesce(destination_host, '')`

/**
 * Who may not take more now, by the leases that are held: `full_hosts (host)` and `full_projects (owner)`, to be put behind
 * `with`. A limit of 0 is none.
 */
export const full = (hostLimit: string, projectLimit: string) => `
  running as materialized (
    select owner, ${HOST} as host from tasks where status in ('processing', 'transferring') and lease_until >= now()
  ), full_hosts as materialized (
    select host from running where host <> '' group by host having count(*) >= nullif(${hostLimit}::integer, 0)
  ), full_projects as materialized (
    select owner from running group by owner having count(*) >= nullif(${projectLimit}::integer, 0)
  )`
