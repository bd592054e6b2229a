import { inspect } from 'node:util'
import { describe, expect, it } from 'vitest'
import { readConfig } from '../../../src/config.ts'

const read = (env: NodeJS.ProcessEnv, split = false) => readConfig(env, { split })

const KEY = Buffer.alloc(32, 'k').toString('base64')

describe('configuration', () => {
  it('needs nothing', () => {
    expect(read({})).toMatchObject({
      HOST: '127.0.0.1',
      PORT: 9292,
      IDENTITY: 'dev',
      WORKER_CONCURRENCY: 2,
      ALLOWED_NETWORKS: []
    })
  })

  it('takes lists apart and numbers as numbers, and an empty value for none', () => {
    const env = { ALLOWED_NETWORKS: '10.0.0.0/8, fd00::/8', PORT: '0', REDIS_URL: '' }
    expect(read(env)).toMatchObject({ ALLOWED_NETWORKS: ['10.0.0.0/8', 'fd00::/8'], PORT: 0 })
    expect(read(env).REDIS_URL).toBeUndefined()
    expect(read({ PROJECT_WEIGHTS: 'a=3, b=c=2' }).PROJECT_WEIGHTS).toEqual({ a: 3, 'b=c': 2 })
  })

  it.each([
    [{ PORT: 'x' }, /PORT must be integer/],
    [{ PORT: '70000' }, /PORT must be <= 65535/],
    [{ IDENTITY: 'nobody' }, /IDENTITY must be one of dev, trusted-headers/],
    [{ LOG_LEVEL: 'loud' }, /LOG_LEVEL must be one of fatal, error/],
    [{ IDENTITY: 'keystone' }, /IDENTITY=keystone is not in this version/],
    [{ FILE_ROOT: '/nowhere/at/all' }, /FILE_ROOT: \/nowhere\/at\/all is not a folder/],
    [{ FILE_ROOT: '/etc/passwd' }, /FILE_ROOT: \/etc\/passwd is not a folder/],
    [{ FILE_ROOT: '/srv', DATA_DIR: '/srv/data' }, /FILE_ROOT and DATA_DIR may not lie in each other/],
    [{ FILE_ROOT: '/usr/lib', DATA_DIR: '/usr' }, /FILE_ROOT and DATA_DIR may not lie in each other/],
    [{ HOST: '0.0.0.0' }, /HOST must be a loopback address/],
    [{ IDENTITY: 'trusted-headers' }, /KEK_FILE is needed/],
    [{ TRUSTED_HEADERS_SECRET: 'short' }, /TRUSTED_HEADERS_SECRET must NOT have fewer than 16/],
    [{ PROJECT_WEIGHTS: 'a=3,b=0' }, /PROJECT_WEIGHTS: b=0 is not of the form project=3/],
    [{ TASK_ATTEMPTS: '30' }, /TASK_ATTEMPTS may be at most TASK_ATTEMPTS_MAX/],
    [{ TASK_DEADLINE_SECONDS: '700000' }, /TASK_DEADLINE_SECONDS may be at most TASK_DEADLINE_MAX_SECONDS/],
    [{ DEFAULT_SWIFT_URL: 'swift://h/AUTH_{project_id}' }, /DEFAULT_SWIFT_URL and DEFAULT_SWIFT_AUTH_URL go together/],
    [{ DEFAULT_SWIFT_URL: 'https://h/x', DEFAULT_SWIFT_AUTH_URL: 'https://k/v3' }, /DEFAULT_SWIFT_URL must be swift:/],
    [{ KEK: KEY, KEK_FILE: '/keys/kek.json' }, /KEK and KEK_FILE exclude each other/],
    [{ KEK: `${KEY},c2hvcnQ=` }, /KEK must be keys of 32 bytes/],
    [{ DATABASE_URL: 'mysql://x' }, /DATABASE_URL must start with postgres/],
    [{ REDIS_URL: 'http://x' }, /REDIS_URL must start with redis/],
    [{ PUBLIC_URL: 'ftp://x' }, /PUBLIC_URL must be/],
    [{ ALLOWED_NETWORKS: '10.0.0.0' }, /ALLOWED_NETWORKS: 10.0.0.0 is not a network/],
    [{ ALLOWED_ENDPOINTS: 'minio' }, /ALLOWED_ENDPOINTS: minio is not of the form/]
  ])('refuses %o', (env, why) => {
    expect(() => read(env)).toThrow(why)
  })

  it('says everything that is wrong at once, and shows no URL, which may hold a password', () => {
    const env = { PORT: 'x', IDENTITY: 'keystone', WORKER_CONCURRENCY: '0', REDIS_URL: 'http://x' }
    expect(() => read(env)).toThrow(/IDENTITY=keystone[\s\S]*PORT[\s\S]*WORKER_CONCURRENCY[\s\S]*REDIS_URL/)
    expect(() => read({ DATABASE_URL: 'mysql://u:CANARY@h' })).not.toThrow(/CANARY/)
  })

  it('takes keys and shows them nowhere', () => {
    const config = read({ IDENTITY: 'trusted-headers', TRUSTED_PROXIES: '10.0.0.0/8', KEK: `${KEY}, ${KEY}` })
    expect(config.KEK?.unwrap()).toEqual([Buffer.alloc(32, 'k'), Buffer.alloc(32, 'k')])
    expect(`${JSON.stringify(config)}${inspect(config, { depth: 9 })}`).not.toContain(KEY.slice(0, 8))
    expect(() => read({ KEK: 'CANARY' })).toThrow(/^(?!.*CANARY)/s)
  })

  it('takes the secret of a proxy and shows it nowhere', () => {
    const secret = 'CANARY of the proxy'
    const config = read({ IDENTITY: 'trusted-headers', TRUSTED_HEADERS_SECRET: secret, KEK: KEY })

    expect(config.TRUSTED_HEADERS_SECRET?.unwrap()).toBe(secret)
    expect(`${JSON.stringify(config)}${inspect(config, { depth: 9 })}`).not.toContain('CANARY')
  })

  it('wants a database of its own for split processes', () => {
    expect(() => read({}, true)).toThrow(/DATABASE_URL is needed/)
    expect(read({ DATABASE_URL: 'postgres://h/d' }, true).DATABASE_URL).toBe('postgres://h/d')
  })
})
