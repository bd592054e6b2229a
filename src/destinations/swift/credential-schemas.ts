import { type TSchema, Type } from 'typebox'

const text = (maxLength: number, description: string) => Type.String({ minLength: 1, maxLength, description })
const name = (description: string) => text(255, description)
const optional = { name: (description: string) => Type.Optional(name(description)) }
const closed = { additionalProperties: false } as const

const AUTH_URL = text(2048, 'URL of Keystone, with or without /v3')
const ENDPOINT = Type.Optional(
  text(
    2048,
    'Where the object store is reached, instead of where the login says; with or without the path of the account'
  )
)
/** For every host that the login leads to, so without a name. */
const TLS = Type.Optional(
  Type.Object({ ca_pem: text(65_536, 'PEM of certificate authorities to trust besides the well-known ones') }, closed)
)
/** Which of the catalogue's endpoints is meant. */
const CATALOGUE = {
  region: optional.name('Region of the object store in the catalogue; the first when absent'),
  interface: Type.Optional(Type.Enum(['public', 'internal', 'admin'], { description: 'public when absent' })),
  endpoint: ENDPOINT,
  tls: TLS
}

export const SWIFT_CREDENTIALS: readonly TSchema[] = [
  Type.Object(
    {
      kind: Type.Literal('tempauth'),
      auth_url: text(2048, 'URL of the v1 login, such as https://cloud.foo/auth/v1.0'),
      user: text(255, 'As account:user'),
      key: text(1024, 'Key of the user'),
      endpoint: ENDPOINT,
      tls: TLS
    },
    closed
  ),
  Type.Object(
    {
      kind: Type.Literal('password'),
      auth_url: AUTH_URL,
      username: name('Name of the user'),
      password: text(4096, 'Password of the user'),
      user_domain_name: optional.name('Domain of the user; Default when absent'),
      user_domain_id: optional.name('Instead of user_domain_name'),
      project_name: optional.name('Project the account belongs to'),
      project_domain_name: optional.name('Domain of the project; Default when absent'),
      project_domain_id: optional.name('Instead of project_domain_name'),
      project_id: optional.name('Instead of project_name and its domain'),
      ...CATALOGUE
    },
    closed
  ),
  Type.Object(
    {
      kind: Type.Literal('application_credential'),
      auth_url: AUTH_URL,
      id: name('Id of the application credential'),
      secret: text(4096, 'Its secret'),
      ...CATALOGUE
    },
    closed
  ),
  Type.Object(
    {
      kind: Type.Literal('token'),
      auth_url: AUTH_URL,
      token: text(16384, 'Token of the project; it has to live until the export has ended'),
      ...CATALOGUE
    },
    closed
  ),
  Type.Object(
    {
      kind: Type.Literal('temp_url'),
      key: Type.Optional(text(1024, 'Temporary URL key of the account or container; requests are signed with it')),
      digest: Type.Optional(Type.Enum(['sha1', 'sha256', 'sha512'], { description: 'As /info says when absent' })),
      temp_url_sig: Type.Optional(text(512, 'Signature of a PUT, instead of a key')),
      temp_url_expires: Type.Optional(text(64, 'When the signature expires, as it was signed')),
      temp_url_prefix: Type.Optional(text(1024, 'Prefix of the object names that the signature is for')),
      endpoint: Type.Optional(text(2048, 'Where the object store is reached; https://<host of export_to> when absent')),
      tls: TLS
    },
    closed
  )
]
