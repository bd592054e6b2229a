import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Processes } from './processes.ts'

const EC = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'] as const

/** An authority and certificates of it: ok, expired, wrong (of another host) and client, each as `.pem` and `.key`. */
export async function makeCertificates(processes: Processes, folder: string): Promise<void> {
  const openssl = (...args: string[]) => processes.run({ argv: ['openssl', ...args], cwd: folder })
  const authority = ['-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=test authority', '-days', '30']
  await openssl('req', '-x509', ...EC, ...authority, '-addext', 'basicConstraints=critical,CA:TRUE')

  const certificate = async (name: string, host: string, names: string, days: string) => {
    await openssl('req', ...EC, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${host}`)
    await writeFile(join(folder, `${name}.ext`), `subjectAltName=${names}\n`)
    const signed = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-extfile', `${name}.ext`]
    await openssl('x509', '-req', '-in', `${name}.csr`, ...signed, '-days', days, '-out', `${name}.pem`)
  }
  await certificate('ok', 'localhost', 'DNS:localhost,IP:127.0.0.1', '30')
  await certificate('expired', 'localhost', 'DNS:localhost,IP:127.0.0.1', '-1')
  await certificate('wrong', 'other.example', 'DNS:other.example', '30')
  await certificate('client', 'client', 'DNS:client', '30')
}
