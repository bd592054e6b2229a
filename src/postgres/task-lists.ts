import { createHash } from 'node:crypto'
import type pg from 'pg'
import { MarkerNotFound } from '../domain/errors.ts'
import { imageId, ownerId, taskId } from '../domain/ids.ts'
import type { Task, TaskSummary } from '../domain/task.ts'
import type { Viewer } from '../domain/viewer.ts'
import type { TaskStore } from '../export/ports.ts'
import type { SortDirection, TaskQuery, TaskSortKey, TimeFilter, TimeSpan } from '../export/task-query.ts'
import { TASK_COLUMNS, type TaskRow, taskOf } from './task-row.ts'
import { visibleTo } from './visible-tasks.ts'

/** What a key compares; every one that is not an alias has an index of its own, with and without the owner in front. */
const SORT_EXPRESSION: Readonly<Record<TaskSortKey, string>> = {
  created_at: 'created_at',
  updated_at: 'updated_at',
  expires_at: `coalesce(expires_at, 'infinity')`,
  status: 'status',
  type: 'created_at', // there is one type
  id: 'created_at' // Glance's `id` has always sorted by age
}

/**
 * Pages of tasks by keyset: a page begins behind its marker, so the last of a million costs what the first does, and rows that
 * come and go meanwhile neither repeat nor hide others.
 */
export function taskLists(pool: pg.Pool): Pick<TaskStore, 'list' | 'summaries'> {
  const known = new KnownStatements()
  const pageOf = async <Row extends pg.QueryResultRow>(
    columns: readonly string[],
    viewer: Viewer,
    query: TaskQuery
  ) => {
    const { text, values, isPlain } = statement(columns, viewer, query)
    const { rows } = await pool.query<Row>({ text, values, ...(isPlain && known.named(text)) })
    if (rows.length === 0 && query.marker) await assertVisible(pool, viewer, query.marker)
    return rows
  }
  return {
    list: async (viewer, query) => (await pageOf<TaskRow>(TASK_COLUMNS, viewer, query)).map(taskOf),
    summaries: async (viewer, query) => (await pageOf<SummaryRow>(SUMMARY_COLUMNS, viewer, query)).map(summaryOf)
  }
}

/** `isPlain`: without filters, so that its plan is the same whatever the values. */
function statement(columns: readonly string[], viewer: Viewer, query: TaskQuery) {
  const sql = new Parameters()
  const order = columnsOf(query)
  const visible = visibleTo(viewer, sql.add)
  const filtering = filters(query, sql.add)
  const conditions = [visible, ...filtering]
  if (viewer.admin && !query.owner) conditions.push(OF_ALL_PROJECTS)
  if (query.marker) conditions.push(behind(order, `id = ${sql.add(query.marker)} and ${visible}`))
  const text = `select ${columns.join(', ')} from tasks where ${conditions.join(' and ')}
          order by ${order.map(({ column, direction }) => `${column} ${direction}`).join(', ')}
          limit ${query.limit}`
  return { text, values: sql.values, isPlain: filtering.length === 0 }
}

/** Every row is so. The indexes without an owner in front have this condition: see their migration. */
const OF_ALL_PROJECTS = 'lease_epoch >= 0'

const MOST_STATEMENTS = 64

/** The first statements get names and are planned once for each connection, which keeps them; those after them are not. */
class KnownStatements {
  readonly #names = new Map<string, string>()

  named(text: string): { readonly name?: string } {
    let name = this.#names.get(text)
    if (name === undefined) {
      if (this.#names.size >= MOST_STATEMENTS) return {}
      // Connections know statements by their names for as long as they live, whoever named them.
      name = `tasks ${createHash('sha256').update(text).digest('base64url').slice(0, 22)}`
      this.#names.set(text, name)
    }
    return { name }
  }
}

const SUMMARY_COLUMNS = ['id', 'owner', 'status', 'image_id', 'created_at', 'updated_at', 'expires_at'] as const
type SummaryRow = Pick<TaskRow, (typeof SUMMARY_COLUMNS)[number]>

const summaryOf = (row: SummaryRow): TaskSummary => ({
  id: taskId(row.id),
  owner: ownerId(row.owner),
  status: row.status,
  request: { imageId: imageId(row.image_id) },
  createdAt: row.created_at,
  updatedAt: row.updated_at,
  expiresAt: row.expires_at
})

/** Values of a statement and their places in it. */
class Parameters {
  readonly values: unknown[] = []
  readonly add = (value: unknown): string => `$${this.values.push(value)}`
}

type Column = { readonly column: string; readonly direction: SortDirection }

/** What is sorted by, each column once: a row's place is then unique. */
function columnsOf({ order }: TaskQuery): Column[] {
  const last = order.at(-1)?.direction ?? 'desc'
  const wanted = order.map(({ key, direction }) => ({ column: SORT_EXPRESSION[key], direction }))
  const columns = new Map<string, Column>()
  for (const column of [...wanted, { column: 'created_at', direction: last }, { column: 'id', direction: last }]) {
    if (!columns.has(column.column)) columns.set(column.column, column)
  }
  return [...columns.values()]
}

/**
 * That a row comes after the marker. One direction: a comparison of rows, which an index answers by itself. Mixed: equal in
 * the first columns and beyond in the next, one alternative a column. The marker's values never leave Postgres, as a Date
 * would lose their microseconds; a marker that may not be seen has none, and nothing comes behind it.
 */
function behind(order: readonly Column[], isMarker: string): string {
  const ofMarker = (columns: string) => `(select ${columns} from tasks where ${isMarker})`
  const beyond = ({ direction }: Column) => (direction === 'desc' ? '<' : '>')
  const [first] = order
  if (first && order.every(({ direction }) => direction === first.direction)) {
    const columns = order.map(({ column }) => column).join(', ')
    return `(${columns}) ${beyond(first)} ${ofMarker(columns)}`
  }
  const alternatives = order.map((next, index) => {
    const equal = order.slice(0, index).map(({ column }) => `${column} = ${ofMarker(column)}`)
    return [...equal, `${next.column} ${beyond(next)} ${ofMarker(next.column)}`].join(' and ')
  })
  return `((${alternatives.join(') or (')}))`
}

function filters(query: TaskQuery, add: (value: unknown) => string): string[] {
  const conditions: string[] = []
  const anyOf = (column: string, values: readonly string[] | undefined) => {
    // One value as an equality: an index that begins with it then gives the order too.
    if (values?.length === 1) conditions.push(`${column} = ${add(values[0])}`)
    else if (values) conditions.push(`${column} = any (${add(values)})`)
  }
  anyOf('status', query.statuses)
  anyOf('image_id', query.imageId && [query.imageId])
  anyOf('owner', query.owner && [query.owner])
  anyOf('export_format', query.formats)
  anyOf('destination_host', query.destinationHosts)
  if (query.tags) conditions.push(`tags @> ${add(query.tags)}`)
  conditions.push(...times('created_at', query.created, add), ...times('updated_at', query.updated, add))
  return conditions
}

function times(column: string, filter: TimeFilter | undefined, add: (value: unknown) => string): string[] {
  const holds = ({ from, to }: TimeSpan): string =>
    [from && `${column} >= ${add(from)}`, to && `${column} < ${add(to)}`].filter(Boolean).join(' and ')
  return [...(filter?.within ?? []).map(holds), ...(filter?.outside ?? []).map((span) => `not (${holds(span)})`)]
}

/** @throws MarkerNotFound for a task that is unknown, expired or somebody else's */
async function assertVisible(pool: pg.Pool, viewer: Viewer, marker: Task['id']): Promise<void> {
  const sql = new Parameters()
  const { rowCount } = await pool.query(
    `select 1 from tasks where ${visibleTo(viewer, sql.add)} and id = ${sql.add(marker)}`,
    sql.values
  )
  if (rowCount === 0) throw new MarkerNotFound(marker)
}
