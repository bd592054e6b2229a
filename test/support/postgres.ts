import { randomBytes } from 'node:crypto'
import { Client } from 'pg'
import { inject } from 'vitest'

export type FreshDatabase = {
  readonly url: string
  /** Drops it, whoever is still connected. */
  drop(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * A new database on the server of this test run, for one test file.
 * @param template name of a database to copy, such as one with all migrations applied; nobody may be connected to it
 */
export async function freshDatabase(template = 'template0'): Promise<FreshDatabase> {
  const name = `test_${randomBytes(8).toString('hex')}`
  await onServer(`create database ${name} template ${template}`)
  const drop = () => onServer(`drop database if exists ${name} with (force)`)
  return { url: urlOf(name), drop, [Symbol.asyncDispose]: drop }
}

async function onServer(statement: string): Promise<void> {
  const client = new Client({ connectionString: inject('postgresUrl') })
  await client.connect()
  try {
    await client.query(statement)
  } finally {
    await client.end()
  }
}

/** By text: `new URL` does not take the address of a unix socket, which has a user and no host. */
const urlOf = (name: string): string =>
  inject('postgresUrl').replace(/^([a-z]+:\/\/[^/?]*)(\/[^?]*)?/, (_, server: string) => `${server}/${name}`)
