import { startEmbeddedPostgres } from '../../src/embedded/postgres.ts'

// A service that has an embedded PostgreSQL and nothing else: prints the server's URL and waits to be killed.
try {
  const server = await startEmbeddedPostgres({ dataDir: process.argv[2] ?? '', log: { info: () => {} } })
  console.log(server.url)
} catch (error) {
  console.log(error instanceof Error ? error.message : error)
  process.exitCode = 1
}
