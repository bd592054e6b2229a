import Type, { type Static } from 'typebox'
import { KiB, TiB } from './domain/bytes.ts'

/** Every setting, read from the environment by this name. The table in README.md is compared with this one by a test. */
export const settingsSchema = Type.Object({
  HOST: Type.String({ default: '127.0.0.1', minLength: 1, description: 'address the API listens on' }),
  PORT: Type.Integer({
    default: 9292,
    minimum: 0,
    maximum: 65535,
    description: 'port the API listens on; 0 takes a free one'
  }),
  PUBLIC_URL: Type.Optional(
    Type.String({ description: 'URL that clients reach the API by, for links; default: where it listens' })
  ),
  DATA_DIR: Type.String({
    default: './data',
    minLength: 1,
    description: 'embedded PostgreSQL, library images, files for download, keys'
  }),
  DATABASE_URL: Type.Optional(Type.String({ minLength: 1, description: 'PostgreSQL 14 or newer; absent: embedded' })),
  REDIS_URL: Type.Optional(
    Type.String({ minLength: 1, description: 'Redis or Valkey for the queue; absent: the queue lives in PostgreSQL' })
  ),
  IDENTITY: Type.Union([Type.Literal('dev'), Type.Literal('trusted-headers')], {
    default: 'dev',
    description:
      '`dev`: tokens `user:project:role[,role]`, loopback only; `trusted-headers`: from a proxy on a private hop'
  }),
  TRUSTED_HEADERS_SECRET: Type.Optional(
    Type.String({
      minLength: 16,
      description:
        'with `trusted-headers`: identity headers count where X-Proxy-Secret is this; without it, from TRUSTED_PROXIES only'
    })
  ),
  IMAGE_SOURCE: Type.Union([Type.Literal('library')], { default: 'library', description: 'where images come from' }),
  ALLOWED_NETWORKS: Type.String({
    default: '',
    description: 'CIDRs, comma list: destinations may be there besides globally routable addresses'
  }),
  ALLOWED_ENDPOINTS: Type.String({
    default: '',
    description: '`scheme://host:port`, comma list: destinations that are allowed wherever they are'
  }),
  FILE_ROOT: Type.Optional(
    Type.String({
      minLength: 1,
      description: 'folder that turns `file://` on: `file:///a` of a project is `a` in its own folder there'
    })
  ),
  DESTINATION_CA_FILE: Type.Optional(
    Type.String({
      minLength: 1,
      description: 'PEM file with authorities to trust for destinations, besides the usual ones'
    })
  ),
  DESTINATION_SILENCE_SECONDS: Type.Integer({
    default: 60,
    minimum: 1,
    description: 'a destination that takes or answers nothing for so long has failed'
  }),
  DESTINATION_TRIES: Type.Integer({
    default: 8,
    minimum: 1,
    maximum: 100,
    description: 'how often one part is sent, or a file completed, before the attempt ends'
  }),
  KEK_FILE: Type.Optional(
    Type.String({
      minLength: 1,
      description: 'key-encryption keys for credentials; made in DATA_DIR when absent and IDENTITY is dev'
    })
  ),
  KEK: Type.Optional(
    Type.String({
      minLength: 1,
      description: 'instead of KEK_FILE: keys of 32 bytes as base64, comma list; the first seals, all of them open'
    })
  ),
  WORKER_CONCURRENCY: Type.Integer({
    default: 2,
    minimum: 1,
    maximum: 64,
    description: 'exports at once in one worker'
  }),
  WORKER_BANDWIDTH_BYTES: Type.Optional(
    Type.Integer({
      minimum: 64 * KiB,
      description: 'bytes per second that all exports of one worker send together at most'
    })
  ),
  MAX_IMAGE_BYTES: Type.Integer({
    default: 2 * TiB,
    minimum: 1,
    description: 'largest image file that may be uploaded'
  }),
  MAX_VIRTUAL_BYTES: Type.Integer({
    default: 16 * TiB,
    minimum: 512,
    description: 'largest disk, as the guest sees it, that is accepted'
  }),
  TASK_ATTEMPTS: Type.Integer({ default: 5, minimum: 1, maximum: 100, description: 'how often an export is tried' }),
  TASK_DEADLINE_SECONDS: Type.Integer({
    default: 86_400,
    minimum: 1,
    description: 'an export that has not ended by then fails'
  }),
  TASK_KEEP_SECONDS: Type.Integer({
    default: 172_800,
    minimum: 1,
    description: 'how long a task can be read after its end'
  }),
  TASK_ATTEMPTS_MAX: Type.Integer({
    default: 20,
    minimum: 1,
    maximum: 100,
    description: 'the most `limits.max_attempts` may ask for'
  }),
  TASK_DEADLINE_MAX_SECONDS: Type.Integer({
    default: 604_800,
    minimum: 1,
    description: 'how far ahead `limits.deadline` may be'
  }),
  TASK_KEEP_MAX_SECONDS: Type.Integer({
    default: 2_592_000,
    minimum: 1,
    description: 'the most `expires_after_seconds` may ask for'
  }),
  TEMP_URL_SECONDS: Type.Integer({
    default: 86_400,
    minimum: 60,
    description: 'how long a temporary URL is good, from the success of its task, if the task does not say'
  }),
  TEMP_URL_MAX_SECONDS: Type.Integer({
    default: 604_800,
    minimum: 60,
    description: 'how long it may be asked to be good'
  }),
  TEMP_URL_DOWNLOADS: Type.Integer({
    default: 32,
    minimum: 1,
    maximum: 10_000,
    description: 'downloads at once in one API process; each takes about 2 MiB'
  }),
  TEMP_URL_LOCKS_IMAGE: Type.Boolean({
    default: true,
    description:
      'an image cannot be deleted while a temporary URL lives whose file is made from it; `false`: the URL ends with the image'
  }),
  TRUSTED_PROXIES: Type.String({
    default: '',
    description:
      'CIDRs, comma list: proxies whose X-Forwarded-For tells the address of a client, and whose identity headers count'
  }),
  DEFAULT_SWIFT_URL: Type.Optional(
    Type.String({
      description:
        'where `receiving_swift_container` is: `swift://host/account`, with `{project_id}` in the account, such as `AUTH_{project_id}`'
    })
  ),
  DEFAULT_SWIFT_AUTH_URL: Type.Optional(
    Type.String({ description: 'Keystone of that Swift, version 3; the token of the request is used there' })
  ),
  RATE_LIMIT_READS: Type.Integer({
    default: 6000,
    minimum: 0,
    description: 'requests of one project in a minute that only read; 0: any number'
  }),
  RATE_LIMIT_WRITES: Type.Integer({
    default: 1200,
    minimum: 0,
    description: 'requests of one project in a minute that create or change; 0: any number'
  }),
  RATE_LIMIT_REFUSED: Type.Integer({
    default: 300,
    minimum: 0,
    description: 'requests without a valid token from one address in a minute; 0: any number'
  }),
  QUOTA_ACTIVE_TASKS: Type.Integer({
    default: 0,
    minimum: 0,
    description: 'tasks of one project that have not ended; 0: any number'
  }),
  QUOTA_BYTES_PER_DAY: Type.Integer({
    default: 0,
    minimum: 0,
    description: 'bytes of images that one project may export in 24 hours; 0: any number'
  }),
  DRY_RUNS: Type.Integer({
    default: 8,
    minimum: 1,
    maximum: 1000,
    description: 'dry runs at once in one API process'
  }),
  LONG_POLL_SECONDS: Type.Integer({
    default: 60,
    minimum: 0,
    maximum: 600,
    description: 'how long a request may wait for news of a task (`Prefer: wait`); 0: not at all'
  }),
  LONG_POLL_WAITERS: Type.Integer({
    default: 1000,
    minimum: 0,
    description: 'requests that may wait so at once in one API process; further ones are answered at once'
  }),
  API_DELETE_TASKS: Type.Boolean({
    default: false,
    description: '`true`: a task that has ended can be deleted; otherwise that is answered with 405, as by Glance'
  }),
  LEASE_SECONDS: Type.Integer({
    default: 30,
    minimum: 1,
    description: 'silence after which a worker is taken for dead'
  }),
  SWEEP_SECONDS: Type.Integer({ default: 5, minimum: 1, description: 'how often lost and stuck tasks are looked for' }),
  LOG_LEVEL: Type.Enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'], {
    default: 'info',
    description: 'as pino has them'
  })
})

export type Settings = Static<typeof settingsSchema>
