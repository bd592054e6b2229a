import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

// Writes schema.d.ts from the OpenAPI document; a test compares the digest in its first line with the document.
const document = join(import.meta.dirname, '../openapi/openapi.json')
const types = execFileSync(
  process.execPath,
  [join(import.meta.dirname, 'node_modules/openapi-typescript/bin/cli.js'), document],
  { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 1 << 26 }
)
const sha256 = createHash('sha256').update(readFileSync(document)).digest('hex')
writeFileSync(join(import.meta.dirname, 'schema.d.ts'), `// Of openapi/openapi.json, SHA-256 ${sha256}.\n${types}`)
