import type { Connections } from '../connection.ts'
import { failure } from '../failures.ts'
import type { Situation } from '../situations.ts'
import { sdkFailure, situationOfS3 } from './failures.ts'
import { sendThrough } from './sdk-handler.ts'
import type { S3Keys, S3Role } from './settings.ts'

/** Keys that a token service gave for a while. */
export type S3Session = Required<S3Keys> & { readonly expiration: Date }

/** Answers of a token service to keys that are good: the role says no, nobody knows it, or no roles are to be had there. */
const NO_ROLE: readonly Situation[] = ['forbidden', 'notFound', 'badRequest', 'methodNotAllowed']

/**
 * Asks the token service for a session of the role (STS, AssumeRole).
 * @throws DestinationError naming the host of the token service
 */
export async function sessionOf(uses: {
  readonly keys: S3Keys
  readonly role: S3Role
  readonly region: string
  readonly connections: Connections
  readonly sessionName: string
}): Promise<S3Session> {
  const { role } = uses
  const { AssumeRoleCommand, STSClient } = await import('@aws-sdk/client-sts')
  const client = new STSClient({
    endpoint: role.endpoint.origin,
    region: uses.region,
    credentials: uses.keys,
    requestHandler: sendThrough(uses.connections),
    maxAttempts: 1,
    retryMode: 'standard',
    defaultsMode: 'standard',
    useDualstackEndpoint: false,
    useFipsEndpoint: false,
    userAgentAppId: 'glance-export'
  })
  const command = new AssumeRoleCommand({
    RoleArn: role.arn,
    RoleSessionName: role.sessionName ?? uses.sessionName,
    DurationSeconds: role.durationSeconds,
    ...(role.externalId !== undefined && { ExternalId: role.externalId })
  })
  const answer = await client.send(command).catch((error: unknown) => {
    throw sdkFailure(role.endpoint.host, error, (refusal) =>
      NO_ROLE.includes(situationOfS3(refusal)) ? 'roleRefused' : undefined
    )
  })
  const { AccessKeyId, SecretAccessKey, SessionToken, Expiration } = answer.Credentials ?? {}
  if (!AccessKeyId || !SecretAccessKey || !SessionToken || !Expiration) throw failure('notHttp', role.endpoint.host)
  return {
    accessKeyId: AccessKeyId,
    secretAccessKey: SecretAccessKey,
    sessionToken: SessionToken,
    expiration: Expiration
  }
}
