import pg from 'pg'
import type { Death } from './slots.ts'

/** One step of a task's life, as a trigger has seen it. */
export type Step = {
  readonly task: string
  readonly was: string | null
  readonly became: string
  readonly epoch: number
  readonly worker: string | null
  /** Milliseconds since 1970, by the database's clock, which is this machine's. */
  readonly at: number
}

/** Written by the database itself, so that nothing the service says or keeps quiet about can change it. */
const TRIGGERS = `
  create table torture_steps (
    n bigint generated always as identity, at timestamptz not null default clock_timestamp(),
    task uuid not null, was text, became text not null, epoch integer not null, worker text);
  create table torture_breaches (at timestamptz not null default clock_timestamp(), what text not null);

  create function torture_step() returns trigger language plpgsql as $$ begin
    if tg_op = 'INSERT' then
      insert into torture_steps (task, became, epoch) values (new.id, new.status, new.lease_epoch);
      if not exists (select from images where id = new.image_id) then
        insert into torture_breaches (what) values ('task ' || new.id || ' was made of an image that is not there');
      end if;
    elsif old.status <> new.status or old.lease_epoch <> new.lease_epoch then
      insert into torture_steps (task, was, became, epoch, worker)
        values (new.id, old.status, new.status, new.lease_epoch, coalesce(new.worker, old.worker));
    end if;
    return null;
  end $$;
  create trigger torture_step after insert or update on tasks for each row execute function torture_step();

  create function torture_image() returns trigger language plpgsql as $$ begin
    insert into torture_breaches (what)
      select 'image ' || old.id || ' was deleted under task ' || id from tasks
       where image_id = old.id and status not in ('success', 'failure');
    return null;
  end $$;
  create trigger torture_image after delete on images for each row execute function torture_image();`

/** What the database has to tell; asked over its own socket, which no fault but its own end touches. */
export class History implements AsyncDisposable {
  readonly pool: pg.Pool

  constructor(url: string) {
    this.pool = new pg.Pool({ connectionString: url, max: 3, options: '-c default_transaction_read_only=off' })
    this.pool.on('error', () => {}) // the database crashes; the next question opens another connection
  }

  async begin(): Promise<void> {
    await this.pool.query(TRIGGERS)
  }

  /** Ids of the tasks that have not ended; undefined while the database is away. */
  async ongoing(): Promise<ReadonlySet<string> | undefined> {
    const rows = await this.rows<{ id: string }>(`select id from tasks where status not in ('success', 'failure')`)
    return rows && new Set(rows.map(({ id }) => id))
  }

  async rows<T extends pg.QueryResultRow>(text: string): Promise<T[] | undefined> {
    return this.pool.query<T>(text).then(
      ({ rows }) => rows,
      () => undefined
    )
  }

  async steps(): Promise<readonly Step[]> {
    const { rows } = await this.pool.query<Step>(
      `select task, was, became, epoch, worker, extract(epoch from at)::float * 1000 as at from torture_steps order by n`
    )
    return rows
  }

  async breaches(): Promise<readonly string[]> {
    const { rows } = await this.pool.query<{ what: string }>('select what from torture_breaches order by at')
    return rows.map(({ what }) => what)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.pool.end()
  }
}

const isClaim = ({ was, became, epoch }: Step, before: Step | undefined): boolean =>
  became === 'processing' && was !== null && epoch > (before?.epoch ?? 0)

export const isEnd = ({ became }: Step): boolean => became === 'success' || became === 'failure'

/** Steps by task, in order. */
export function lives(steps: readonly Step[]): ReadonlyMap<string, readonly Step[]> {
  return Map.groupBy(steps, ({ task }) => task)
}

/**
 * For every task that a worker was running when it was killed: milliseconds until the task was claimed again, or ended.
 * @returns by how the worker died
 */
export function recoveries(
  steps: readonly Step[],
  deaths: readonly Death[]
): ReadonlyMap<Death['how'], readonly number[]> {
  const found = new Map<Death['how'], number[]>()
  for (const life of lives(steps).values()) {
    life.forEach((step, index) => {
      if (!isClaim(step, life[index - 1])) return
      const next = life.findIndex(
        (later, place) => place > index && (later.epoch > step.epoch || isEnd(later) || later.became === 'queued')
      )
      const until = next < 0 ? Number.POSITIVE_INFINITY : (life[next]?.at ?? 0)
      const death = deaths.find(({ workerId, at }) => workerId === step.worker && at >= step.at && at < until)
      if (!death || until === Number.POSITIVE_INFINITY) return
      found.set(death.how, [...(found.get(death.how) ?? []), until - death.at])
    })
  }
  return found
}
