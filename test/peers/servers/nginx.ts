import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Nginx } from '../nginx.ts'
import { makeCertificates } from './certificates.ts'
import { freePorts, type Processes } from './processes.ts'

export const NEEDS = { '/usr/sbin/nginx': 'nginx-light', '/usr/bin/openssl': 'openssl' }

/** nginx as one process, so that nothing is left of it when it is killed. */
export async function startNginx(processes: Processes): Promise<Nginx> {
  const { folder } = processes
  const port = await freePorts(5)
  const user = 'www-data'
  const tls = join(folder, 'tls')
  const password = (await processes.run({ argv: ['openssl', 'passwd', '-apr1', 'pass'] })).trim()
  await processes.run({ argv: ['mkdir', 'tls', 'files', 'tmp'] })
  await makeCertificates(processes, tls)
  await writeFile(join(folder, 'htpasswd'), `user:${password}\n`)
  await writeFile(join(folder, 'nginx.conf'), config(folder, port))
  await processes.own(user)

  const argv: [string, ...string[]] = ['nginx', '-c', join(folder, 'nginx.conf'), '-p', folder, '-e', 'stderr']
  await processes.serve('nginx', { argv, user }, [port, port + 1, port + 2, port + 3, port + 4])
  const pem = (name: string) => readFile(join(tls, name), 'utf8')
  return {
    http: `http://127.0.0.1:${port}`,
    https: `https://127.0.0.1:${port + 1}`,
    httpsExpired: `https://127.0.0.1:${port + 2}`,
    httpsWrongName: `https://127.0.0.1:${port + 3}`,
    httpsClientCert: `https://127.0.0.1:${port + 4}`,
    caPem: await pem('ca.pem'),
    clientCertPem: await pem('client.pem'),
    clientKeyPem: await pem('client.key'),
    files: join(folder, 'files')
  }
}

function config(folder: string, port: number): string {
  const files = join(folder, 'files')
  const writable = 'dav_methods PUT DELETE; create_full_put_path on;'
  const places = `
    location /put/ { ${writable} alias ${files}/; }
    location /auth/ { auth_basic t; auth_basic_user_file ${folder}/htpasswd; ${writable} alias ${files}/; }
    location /bearer/ { if ($http_authorization != "Bearer tok") { return 401; } ${writable} root ${files}; }
    location /header/ { if ($http_x_upload_key != "letmein") { return 403; } ${writable} root ${files}; }
    location /small/ { client_max_body_size 1m; ${writable} alias ${files}/; }
    location /ro/ { alias ${files}/; }
    location ~ ^/r307/(.*)$ { return 307 /put/$1; }
    location /rmeta/ { return 302 http://169.254.169.254/latest/meta-data/; }
    location /e403 { return 403; }
    location /e500 { return 500; }
    location /e503 { add_header Retry-After 1 always; return 503; }
    location /drop { return 444; }`
  const tls = (name: string) =>
    `ssl_certificate ${folder}/tls/${name}.pem; ssl_certificate_key ${folder}/tls/${name}.key;`
  const server = (at: number, more = '') => `
  server { listen 127.0.0.1:${at}${more && ' ssl'}; ${more} ${places}
  }`
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (n) => `${n}_temp_path ${folder}/tmp/${n};`
  )
  return `
daemon off; master_process off; pid ${folder}/nginx.pid; error_log stderr warn;
events { worker_connections 256; }
http {
  access_log off; client_max_body_size 0; keepalive_timeout 65; ${temporary.join(' ')}
  ${server(port)}
  ${server(port + 1, tls('ok'))}
  ${server(port + 2, tls('expired'))}
  ${server(port + 3, tls('wrong'))}
  ${server(port + 4, `${tls('ok')} ssl_client_certificate ${folder}/tls/ca.pem; ssl_verify_client on;`)}
}
`
}
