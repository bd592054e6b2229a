import { beforeAll, describe, expect, inject, it } from 'vitest'
import { createDestinations } from '../../src/destinations/registry.ts'
import { createHashers } from '../../src/hashing/hashers.ts'
import { startNginx } from '../peers/nginx.ts'
import { startRclone } from '../peers/rclone.ts'
import { startSshd } from '../peers/sshd.ts'
import { Canaries } from '../support/canaries.ts'
import { type Round, secretRound } from '../support/secret-round.ts'
import { SECRET_SAMPLES } from '../support/secret-samples.ts'

/** No server here that takes a password for SFTP takes files from us as well; and some servers are not everywhere. */
const cannotSucceed = (): string[] => {
  const { nginx, sshd } = inject('missingPeers')
  return [...(nginx ? ['mtls'] : []), ...(sshd ? ['ssh_key'] : []), 'ssh_password']
}
const ROUND_MS = 600_000

describe.each(['PostgreSQL', 'Redis'] as const)('secrets, with the queue on %s', (queueOn) => {
  let round: Round
  beforeAll(async () => {
    const missing = inject('missingPeers')
    round = await secretRound(queueOn, {
      ...(!missing.nginx && { nginx: await startNginx() }),
      ...(!missing.sshd && { sshd: await startSshd() }),
      ...(!missing.rclone && { rclone: await startRclone() })
    })
  }, ROUND_MS)

  it('were used: exports with every kind of credentials have succeeded, failed and been refused', () => {
    const kinds = Object.keys(SECRET_SAMPLES)
    const ended = (status: string) => round.exports.filter(({ task }) => task.task_status === status)
    const without = (status: string) => kinds.filter((kind) => !ended(status).some((one) => one.kind === kind)).sort()
    expect(without('success')).toEqual(cannotSucceed())
    expect(without('failure')).toEqual([])
    expect(ended('refused')).toEqual([])
    expect(round.sealedRows).toBeGreaterThan(0)
    expect(round.refusals.filter((status) => status !== 400)).toEqual([])
  })

  it.each([
    'log',
    'answers',
    'database',
    'command lines',
    'environments',
    'files',
    ...(queueOn === 'Redis' ? ['Redis'] : [])
  ])('are not in: %s', (place) => {
    expect(round.places[place]?.leaks).toEqual([])
    expect(round.places[place]?.controls, 'words that were put there to be found').toBeGreaterThan(0)
  })

  it('cannot get out by a core dump, of the service or of what it started', () => {
    const limits = round.processes.map(({ limits }) => /^Max core file size +(\S+) +(\S+)/m.exec(limits)?.slice(1))
    expect(limits.length).toBeGreaterThan(5)
    expect(limits.filter((limit) => limit && limit.join() !== '0,0')).toEqual([])
  })
})

describe('the samples of secrets', () => {
  const destinations = createDestinations({ hashers: createHashers(1), allowedNetworks: [], allowedEndpoints: [] })
  const schemas = destinations.credentialSchemas as readonly { properties: Record<string, Schema> }[]
  type Schema = { const?: string; type?: string; properties?: Record<string, Schema> }
  const to = { url: 'http://h:1', host: 'h:1', peers: {} }

  it.each(schemas.map(({ properties }) => [properties.kind?.const ?? '', properties] as const))(
    'have every field of %s',
    (kind, properties) => {
      const samples = SECRET_SAMPLES[kind]?.(new Canaries(), to) ?? []
      const fields = (schema: Record<string, Schema>, values: readonly object[], path = ''): string[] =>
        Object.entries(schema).flatMap(([name, { properties: inner }]) => {
          const given = values.map((value) => Reflect.get(value, name)).filter((value) => value !== undefined)
          if (given.length === 0) return [`${path}${name}`]
          return inner ? fields(inner, given, `${path}${name}.`) : []
        })
      expect(
        fields(
          properties,
          samples.map(({ credentials }) => credentials)
        )
      ).toEqual([])
    }
  )

  it('are the only values: the description of the API has no example or default of a credential', () => {
    expect(JSON.stringify(schemas)).not.toMatch(/"(default|examples?)":/)
  })
})
