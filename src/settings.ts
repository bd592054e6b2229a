import Type, { type Static } from 'typebox'
import { KiB, TiB } from './domain/bytes.ts'

/** Every setting, read from the environment by this name. The table in docs/operations.md is compared with this one by a test. */
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
  SFTP_KNOWN_HOSTS: Type.Optional(
    Type.String({
      minLength: 1,
      description: 'known_hosts file of OpenSSH: keys of SFTP servers, for requests that name none'
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
  SCRUB_DEFAULT: Type.Enum(['none', 'metadata', 'generalize'], {
    default: 'metadata',
    description: 'the scrub profile of a request that names none; see docs/scrub.md'
  }),
  SCRUB_MINIMUM: Type.Enum(['none', 'metadata', 'generalize'], {
    default: 'none',
    description: 'the least that every export goes through; the image property `export_scrub` may want more'
  }),
  SCRUB_STEPS: Type.String({
    default: '',
    description: 'steps, comma list: put into the profile `generalize`, or with `-` before it taken out of it'
  }),
  SCRUB_REQUIRED_STEPS: Type.String({
    default: '',
    description: 'steps, comma list, that every scrub of files makes and no user can switch off'
  }),
  SCRUB_UNKNOWN_GUEST: Type.Enum(['fail', 'skip'], {
    default: 'fail',
    description: 'an export whose guest cannot be scrubbed fails, or goes on with its files as they are'
  }),
  SCRUB_SECRETS: Type.Enum(['report', 'refuse', 'off'], {
    default: 'report',
    description:
      'secrets that are found in a scrubbed guest are reported, keep it from being exported, or are not looked for'
  }),
  SCRUB_GAPS: Type.Enum(['zero', 'keep'], {
    default: 'zero',
    description:
      'what lies between and behind the partitions of a scrubbed disk, and behind smaller file systems in them'
  }),
  SCRUB_PROVIDER_PATHS: Type.String({
    default: '',
    description: 'paths of guests, comma list, with `*` in names: what the provider has put there and a scrub removes'
  }),
  SCRUB_FIRST_BOOT: Type.Optional(
    Type.String({ minLength: 1, description: 'script that a scrub puts into guests, to run once at their next start' })
  ),
  SCRUB_APPLIANCE: Type.Boolean({
    default: true,
    description:
      'guests that the fast way does not know are scrubbed in a virtual machine, where libguestfs is installed; `false`: they are not known'
  }),
  SCRUB_APPLIANCE_SECONDS: Type.Integer({
    default: 900,
    minimum: 60,
    description: 'the most that this may take for one guest'
  }),
  SCRUB_APPLIANCE_CACHE: Type.String({
    default: '/var/tmp',
    minLength: 1,
    description: 'folder, open to all accounts, where libguestfs keeps what it has built once, about 400 MB'
  }),
  SCRUB_KVM: Type.Enum(['off', 'probe'], {
    default: 'off',
    description:
      'its processor is emulated; `probe`: each worker tries KVM out once, for at most ten seconds, and takes it where it works'
  }),
  JAIL: Type.Enum(['strict', 'off'], {
    default: 'strict',
    description:
      '`strict`: programs that read images run under bubblewrap, without network and files of the machine; `off`: with limits on resources only'
  }),
  SCRUB_STEPS_DIR: Type.Optional(
    Type.String({
      minLength: 1,
      description: "folder with the operator's own steps, executables that run in the jail; see docs/scrub-step.md"
    })
  ),
  SCRUB_STEP_SECONDS: Type.Integer({ default: 600, minimum: 1, description: 'the most that one of them may take' }),
  SCRATCH_ROOT: Type.Optional(
    Type.String({
      minLength: 1,
      description: 'folder for what is changed in images while they are exported; default: `scratch` in DATA_DIR'
    })
  ),
  EXPORT_DENY: Type.String({
    default: 'export_allowed=false',
    description:
      '`name=value`, comma list: images with this property are not exported; `visibility` and `owner` are names too, `owner=other` is another project, `*` is any value'
  }),
  EXPORT_PROPERTIES: Type.String({
    default: 'architecture,os_distro,os_type,os_version,hw_firmware_type,hw_machine_type',
    description: 'properties of images, comma list, that manifests and OVA descriptors tell; no other leaves'
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
  PROJECT_WEIGHTS: Type.String({
    default: '',
    description:
      '`project=weight`, comma list of whole numbers: how many times the bytes of others a project gets while all have tasks that wait; others: 1'
  }),
  PROJECT_CONCURRENCY: Type.Integer({
    default: 0,
    minimum: 0,
    description: 'exports of one project that run at once on all workers together; 0: any number'
  }),
  HOST_CONCURRENCY: Type.Integer({
    default: 0,
    minimum: 0,
    description: 'exports to one host, or bucket of S3, that run at once on all workers together; 0: any number'
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
  SHUTDOWN_SECONDS: Type.Integer({
    default: 25,
    minimum: 1,
    description:
      'how long a process that is asked to stop may take; a worker sends the parts it has begun within four fifths of that'
  }),
  LOG_LEVEL: Type.Enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'], {
    default: 'info',
    description: 'as pino has them'
  }),
  CRASH_AT: Type.Optional(
    Type.String({
      pattern: '^(?:before|after) [a-z]+\\.[A-Za-z]+(?: [1-9][0-9]{0,5})?$',
      description:
        'for tests of recovery, with `LOG_LEVEL=debug` only: the process kills itself there, such as `after upload.putPart 2`'
    })
  )
})

export type Settings = Static<typeof settingsSchema>
