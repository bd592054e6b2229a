import { statSync } from 'node:fs'
import { isIP } from 'node:net'
import { resolve } from 'node:path'
import { Ajv } from 'ajv'
import { envSchema } from 'env-schema'
import ipaddr from 'ipaddr.js'
import { GiB } from './domain/bytes.ts'
import { Secret } from './domain/secret.ts'
import { type Settings, settingsSchema } from './settings.ts'

export type Config = Omit<
  Settings,
  'ALLOWED_NETWORKS' | 'ALLOWED_ENDPOINTS' | 'PROJECT_WEIGHTS' | 'TRUSTED_PROXIES' | 'KEK' | 'TRUSTED_HEADERS_SECRET'
> & {
  readonly TRUSTED_PROXIES: readonly string[]
  readonly KEK?: Secret<readonly Buffer[]>
  readonly TRUSTED_HEADERS_SECRET?: Secret<string>
  readonly ALLOWED_NETWORKS: readonly string[]
  readonly ALLOWED_ENDPOINTS: readonly string[]
  readonly PROJECT_WEIGHTS: Readonly<Record<string, number>>
}

/** What is wrong with the environment, all of it, one line each. */
export class ConfigInvalid extends Error {
  override readonly name = 'ConfigInvalid'

  constructor(mistakes: readonly string[]) {
    super(`The configuration cannot be used:\n${mistakes.map((mistake) => `  - ${mistake}`).join('\n')}`)
  }
}

/** Settings of DESIGN's list that name parts this version does not have: better refused than ignored. */
const NOT_YET: Readonly<Record<string, (value: string) => string | undefined>> = {
  IDENTITY: (value) =>
    value === 'keystone' ? 'IDENTITY=keystone is not in this version; use dev or trusted-headers' : undefined,
  IMAGE_SOURCE: (value) => (value === 'glance' ? 'IMAGE_SOURCE=glance is not in this version; use library' : undefined)
}

/**
 * Reads the settings from an environment.
 * @param split true in a process that shares its work with others: nothing can be embedded there
 * @throws ConfigInvalid naming every mistake; values are shown only where they cannot be secret
 */
export function readConfig(env: NodeJS.ProcessEnv, { split }: { readonly split: boolean }): Config {
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined && value !== ''))
  const mistakes: string[] = []
  for (const [name, check] of Object.entries(NOT_YET)) {
    const mistake = given[name] === undefined ? undefined : check(given[name])
    if (!mistake) continue
    mistakes.push(mistake)
    delete given[name]
  }
  // What is wrong is left out of a second look, so that mistakes of other kinds are found beside it.
  const settings = parse(given, mistakes) ?? parse(given, [])
  if (settings) mistakes.push(...contradictions(settings, split))
  if (!settings || mistakes.length > 0) throw new ConfigInvalid(mistakes)
  const { KEK, TRUSTED_HEADERS_SECRET, ...shown } = settings
  return {
    ...shown,
    ...(KEK && { KEK: new Secret(keys(KEK)) }),
    ...(TRUSTED_HEADERS_SECRET && { TRUSTED_HEADERS_SECRET: new Secret(TRUSTED_HEADERS_SECRET) }),
    DATA_DIR: resolve(settings.DATA_DIR),
    ...(settings.FILE_ROOT && { FILE_ROOT: resolve(settings.FILE_ROOT) }),
    TRUSTED_PROXIES: list(settings.TRUSTED_PROXIES),
    ALLOWED_NETWORKS: list(settings.ALLOWED_NETWORKS),
    ALLOWED_ENDPOINTS: list(settings.ALLOWED_ENDPOINTS),
    PROJECT_WEIGHTS: weights(settings.PROJECT_WEIGHTS)
  }
}

function parse(data: Record<string, string | undefined>, mistakes: string[]): Settings | undefined {
  const ajv = new Ajv({ allErrors: true, coerceTypes: true, useDefaults: true, removeAdditional: true, strict: false })
  try {
    return envSchema<Settings>({ schema: settingsSchema, data, env: false, ajv })
  } catch (error) {
    const names = Object.keys(settingsSchema.properties)
    for (const { instancePath, message, keyword } of ajv.errors ?? errorsOf(error)) {
      const name = names.find((known) => instancePath === `/${known}`)
      if (!name) throw error
      delete data[name]
      if (keyword !== 'const') mistakes.push(`${name} ${choices(name) ?? message}`)
    }
    return undefined
  }
}

type SchemaError = { readonly instancePath: string; readonly message?: string | undefined; readonly keyword: string }
const errorsOf = (error: unknown): SchemaError[] => {
  if (error instanceof Error && 'errors' in error && Array.isArray(error.errors)) return error.errors
  throw error
}

/** "must be one of ..." for a setting that is a choice. */
function choices(name: string): string | undefined {
  const property: { enum?: string[]; anyOf?: { const?: string }[] } = Object(
    Reflect.get(settingsSchema.properties, name)
  )
  const options = property.enum ?? property.anyOf?.map((option) => option.const)
  return options && `must be one of ${options.join(', ')}`
}

/** A setting that is a comma list. */
export const list = (text: string): string[] =>
  text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')

/** The project's name may hold anything but commas and spaces at its ends. */
const WEIGHT = /^(.+)=([1-9]\d{0,5})$/
const weights = (text: string): Record<string, number> =>
  Object.fromEntries(list(text).map((item) => [item.replace(WEIGHT, '$1'), Number(item.replace(WEIGHT, '$2'))]))

const KEY_BYTES = 32
const keys = (text: string): Buffer[] => list(text).map((key) => Buffer.from(key, 'base64'))

function contradictions(settings: Settings, split: boolean): string[] {
  const mistakes: string[] = []
  if (settings.IDENTITY === 'dev' && !isLoopback(settings.HOST))
    mistakes.push(
      `IDENTITY=dev lets anybody be anybody, so HOST must be a loopback address, not ${settings.HOST}; set IDENTITY to trusted-headers`
    )
  if (settings.IDENTITY !== 'dev' && !settings.KEK_FILE && !settings.KEK)
    mistakes.push('KEK_FILE is needed: the file with the key-encryption keys for credentials; or KEK, with the keys')
  if (settings.KEK && settings.KEK_FILE) mistakes.push('KEK and KEK_FILE exclude each other: keep one of them')
  if (settings.KEK !== undefined && !areKeys(keys(settings.KEK)))
    mistakes.push(`KEK must be keys of ${KEY_BYTES} bytes as base64, with commas between them`)
  if (split && !settings.DATABASE_URL)
    mistakes.push('DATABASE_URL is needed: the embedded PostgreSQL works for `npm start` only')
  if (settings.DATABASE_URL && !/^postgres(ql)?:\/\//.test(settings.DATABASE_URL))
    mistakes.push('DATABASE_URL must start with postgres:// or postgresql://')
  if (settings.REDIS_URL && !/^rediss?:\/\//.test(settings.REDIS_URL))
    mistakes.push('REDIS_URL must start with redis:// or rediss://')
  if (settings.PUBLIC_URL && !isOrigin(settings.PUBLIC_URL))
    mistakes.push('PUBLIC_URL must be an http:// or https:// URL without a query')
  for (const name of ['ALLOWED_NETWORKS', 'TRUSTED_PROXIES'] as const)
    for (const network of list(settings[name]))
      if (!ipaddr.isValidCIDR(network)) mistakes.push(`${name}: ${network} is not a network such as 10.0.0.0/8`)
  if ((settings.DEFAULT_SWIFT_URL === undefined) !== (settings.DEFAULT_SWIFT_AUTH_URL === undefined))
    mistakes.push('DEFAULT_SWIFT_URL and DEFAULT_SWIFT_AUTH_URL go together')
  if (settings.DEFAULT_SWIFT_URL && !/^swift:\/\/[^/?#@]+\/[^/?#]+$/.test(settings.DEFAULT_SWIFT_URL))
    mistakes.push('DEFAULT_SWIFT_URL must be swift://host/account, such as swift://swift.example.com/AUTH_{project_id}')
  if (settings.DEFAULT_SWIFT_AUTH_URL && !isOrigin(settings.DEFAULT_SWIFT_AUTH_URL))
    mistakes.push('DEFAULT_SWIFT_AUTH_URL must be an http:// or https:// URL without a query')
  for (const [name, maximum] of MAXIMA)
    if (settings[name] > settings[maximum]) mistakes.push(`${name} may be at most ${maximum}`)
  for (const weight of list(settings.PROJECT_WEIGHTS))
    if (!WEIGHT.test(weight)) mistakes.push(`PROJECT_WEIGHTS: ${weight} is not of the form project=3`)
  for (const endpoint of list(settings.ALLOWED_ENDPOINTS))
    if (!/^[a-z][a-z0-9+]*:\/\/(\[[0-9a-f:.]+\]|[^\s:/?#@[\]]+):\d{1,5}$/i.test(endpoint))
      mistakes.push(`ALLOWED_ENDPOINTS: ${endpoint} is not of the form scheme://host:port`)
  if (settings.CRASH_AT && settings.LOG_LEVEL !== 'debug')
    mistakes.push('CRASH_AT kills the process, for tests of recovery: it needs LOG_LEVEL=debug')
  if (settings.FILE_ROOT) mistakes.push(...fileRootMistakes(settings.FILE_ROOT, settings.DATA_DIR))
  if (settings.MAX_VIRTUAL_BYTES > 1024 * 1024 * GiB) mistakes.push('MAX_VIRTUAL_BYTES may be at most 1 PiB')
  return mistakes
}

/** Defaults, and what they may be at most. */
const MAXIMA = [
  ['TEMP_URL_SECONDS', 'TEMP_URL_MAX_SECONDS'],
  ['TASK_ATTEMPTS', 'TASK_ATTEMPTS_MAX'],
  ['TASK_DEADLINE_SECONDS', 'TASK_DEADLINE_MAX_SECONDS'],
  ['TASK_KEEP_SECONDS', 'TASK_KEEP_MAX_SECONDS']
] as const

const areKeys = (given: readonly Buffer[]): boolean =>
  given.length > 0 && given.every((key) => key.length === KEY_BYTES)

function fileRootMistakes(root: string, dataDir: string): string[] {
  if (process.platform !== 'linux') return ['FILE_ROOT: file:// destinations need Linux']
  if (!statSync(root, { throwIfNoEntry: false })?.isDirectory())
    return [`FILE_ROOT: ${resolve(root)} is not a folder: make it, and let the service write there`]
  // The folders of projects are made in the root, by names that others chose.
  if (holds(root, dataDir) || holds(dataDir, root)) return ['FILE_ROOT and DATA_DIR may not lie in each other']
  return []
}

const holds = (outer: string, inner: string): boolean => `${resolve(inner)}/`.startsWith(`${resolve(outer)}/`)

const isLoopback = (host: string): boolean =>
  host === 'localhost' || (isIP(host) !== 0 && ipaddr.process(host).range() === 'loopback')

function isOrigin(text: string): boolean {
  const url = URL.parse(text)
  return url !== null && /^https?:$/.test(url.protocol) && url.search === '' && url.hash === '' && url.username === ''
}
