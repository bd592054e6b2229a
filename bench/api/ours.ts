import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import pg from 'pg'
import { startChild, stopChild } from '../processes.ts'
import { SERVER_CORE, type Side } from './side.ts'

/** The real service as operators run it: `npm run start:http` and PostgreSQL, and no worker. */
export async function startOurs(folder: string, owner: string, flags: readonly string[]): Promise<Side> {
  const host = join(import.meta.dirname, 'ours-host.ts')
  const child = startChild('taskset', ['-c', SERVER_CORE, process.execPath, host, folder, owner, ...flags])
  if (!child.stdout) throw new Error('the service says nothing')
  const line = await Promise.race([
    once(createInterface({ input: child.stdout }), 'line').then(([text]) => String(text)),
    once(child, 'exit').then(() => Promise.reject(new Error('the service did not start')))
  ])
  const { url, databaseUrl, images } = JSON.parse(line) as { url: string; databaseUrl: string; images: string[] }
  return {
    name: 'ours',
    url,
    newTasks: () =>
      images.map((image) =>
        JSON.stringify({
          type: 'export',
          input: {
            image_uuid: image,
            export_to: 'http://127.0.0.1:9/exports',
            export_format: 'qcow2',
            export_to_credentials: { kind: 'basic', username: 'bench', password: 'not a secret' }
          }
        })
      ),
    insertRows: (project, count, above) => insertRows(databaseUrl, [project, images[0], count, above]),
    stop: () => stopChild(child)
  }
}

async function insertRows(databaseUrl: string, values: readonly unknown[]): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl, statement_timeout: 0 })
  await client.connect()
  try {
    await client.query(INSERT, [...values])
    await client.query('vacuum analyze tasks')
  } finally {
    await client.end()
  }
}

const INSERT = `
insert into tasks (id, owner, user_id, request_id, image_id, status, export_to, export_format, export_id, source,
                   max_attempts, deadline, next_run_at, created_at, updated_at)
select (lpad(to_hex(i), 8, '0') || '-0000-4000-8000-' || lpad(to_hex(i), 12, '0'))::uuid, $1, 'u', 'req-1', $2, 'processing',
       'https://store.example.com/exports', 'qcow2', gen_random_uuid(), '{}', 5, now() + interval '10 years',
       now() + interval '9 years', timestamptz '2020-01-01' + i * interval '1 second',
       timestamptz '2020-01-01' + i * interval '1 second'
  from generate_series($4::integer + 1, $4::integer + $3::integer) as i`
