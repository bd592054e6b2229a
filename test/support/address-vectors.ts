import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Hosts as they stand in a URL, and what has to become of them. `resolve`: the address that the name leads to decides. */
export function addressVectors(): { readonly host: string; readonly verdict: 'deny' | 'allow' | 'resolve' }[] {
  const text = readFileSync(join(import.meta.dirname, '../fixtures/ssrf_vectors.tsv'), 'utf8')
  const rows = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return rows.map((line) => {
    const [kind = '', value = '', verdict = ''] = line.split('\t')
    const host = kind === 'ip' && value.includes(':') ? `[${value}]` : value
    return { host, verdict: verdict === 'deny' || verdict === 'allow' ? verdict : 'resolve' }
  })
}
