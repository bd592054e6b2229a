/** One kind of secret and the places where people leave it. */
export type SecretRule = {
  /** Stable: reports and refusals name it. */
  readonly id: string
  /** Below each user's folder; in the last name `*` stands for any part. */
  readonly inHomes: readonly string[]
  /** From the root. */
  readonly elsewhere: readonly string[]
  /** What gives it away, in the file's bytes as latin1; undefined where the file as such does. */
  readonly holds: RegExp | undefined
}

const PRIVATE_KEY = /-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----|^PuTTY-User-Key-File-/m

/** None of the expressions can take longer than the file is long: no quantifier stands within another without a limit. */
export const secretRules: readonly SecretRule[] = [
  {
    id: 'private-key',
    inHomes: ['.ssh/*', '*.pem', '*.key', '*.ppk'],
    elsewhere: [
      '/etc/ssh/ssh_host_*_key',
      '/etc/ssl/private/*',
      '/etc/pki/tls/private/*',
      '/etc/letsencrypt/live/*/privkey.pem',
      '/etc/letsencrypt/archive/*/privkey*.pem',
      '/etc/wireguard/*.key',
      '/etc/openvpn/*.key'
    ],
    holds: PRIVATE_KEY
  },
  {
    id: 'wireguard-key',
    inHomes: [],
    elsewhere: ['/etc/wireguard/*.conf'],
    holds: /^\s{0,9}PrivateKey\s{0,9}=\s{0,9}\S/m
  },
  {
    id: 'aws-credentials',
    inHomes: ['.aws/credentials', '.aws/config'],
    elsewhere: [],
    holds: /aws_secret_access_key/i
  },
  {
    id: 'gcloud-credentials',
    inHomes: [
      '.config/gcloud/credentials.db',
      '.config/gcloud/access_tokens.db',
      '.config/gcloud/application_default_credentials.json'
    ],
    elsewhere: [],
    holds: undefined
  },
  {
    id: 'azure-credentials',
    inHomes: ['.azure/accessTokens.json', '.azure/msal_token_cache.json', '.azure/msal_token_cache.bin'],
    elsewhere: [],
    holds: undefined
  },
  {
    id: 'openstack-credentials',
    inHomes: ['.config/openstack/clouds.yaml', '.config/openstack/secure.yaml'],
    elsewhere: ['/etc/openstack/clouds.yaml', '/etc/openstack/secure.yaml'],
    holds: /password\s{0,9}:|secret\s{0,9}:/i
  },
  {
    id: 'kubeconfig',
    inHomes: ['.kube/config'],
    elsewhere: ['/etc/kubernetes/*.conf', '/etc/rancher/k3s/k3s.yaml'],
    holds: /(?:token|client-key-data|password)\s{0,9}:\s{0,9}\S/
  },
  { id: 'netrc', inHomes: ['.netrc'], elsewhere: [], holds: /\bpassword\s/ },
  {
    id: 'docker-login',
    inHomes: ['.docker/config.json'],
    elsewhere: [],
    holds: /"(?:auth|identitytoken)"\s{0,9}:\s{0,9}"[^"]/
  },
  {
    id: 'git-credentials',
    inHomes: ['.git-credentials', '.config/git/credentials'],
    elsewhere: [],
    holds: /:\/\/[^\s/@:]{1,999}:[^\s/@]{1,999}@/
  },
  {
    id: 'npm-token',
    inHomes: ['.npmrc'],
    elsewhere: ['/etc/npmrc', '/usr/etc/npmrc'],
    holds: /_(?:authToken|auth|password)\s{0,9}=\s{0,9}\S/
  },
  { id: 'pypi-token', inHomes: ['.pypirc'], elsewhere: [], holds: /^\s{0,9}password\s{0,9}[=:]\s{0,9}\S/m },
  {
    id: 'env-file',
    inHomes: ['.env'],
    elsewhere: [],
    holds: /(?:SECRET|TOKEN|PASSWORD|PASSWD|API_?KEY)[A-Z0-9_]{0,40}\s{0,9}=\s{0,9}\S/i
  },
  {
    id: 'database-password',
    inHomes: ['.pgpass', '.my.cnf'],
    elsewhere: [],
    holds: /^[^:\n]{0,255}:[^:\n]{0,9}:[^:\n]{0,255}:[^:\n]{0,255}:\S|^\s{0,9}password\s{0,9}=\s{0,9}\S/m
  }
]
