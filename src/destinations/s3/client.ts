import { S3Client } from '@aws-sdk/client-s3'
import type { Connections } from '../connection.ts'
import { type S3Session, sessionOf } from './assume-role.ts'
import { sendThrough } from './sdk-handler.ts'
import type { S3Keys, S3Settings } from './settings.ts'

/**
 * The SDK signs, builds and reads the control calls; it sends them through our own connections. Everything that it would
 * otherwise read from the environment or from files is given here.
 * @param sessionName for a role that is assumed, unless the credentials name the session
 */
export function createS3Client(settings: S3Settings, connections: Connections, sessionName: string): S3Client {
  return new S3Client({
    endpoint: settings.endpoint.origin,
    region: settings.region,
    forcePathStyle: settings.pathStyle,
    credentials: identity(settings, connections, sessionName),
    requestHandler: sendThrough(connections),
    maxAttempts: 1,
    retryMode: 'standard',
    defaultsMode: 'standard',
    // The SDK's default checksums use trailers, which Ceph and Swift refuse (aws-sdk-js-v3 #6810).
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    followRegionRedirects: false,
    useArnRegion: false,
    useDualstackEndpoint: false,
    useFipsEndpoint: false,
    disableMultiregionAccessPoints: true,
    disableS3ExpressSessionAuth: true,
    userAgentAppId: 'glance-export'
  })
}

/** The keys, or what gives a session of the role: the SDK asks for it again five minutes before the last one ends. */
function identity(
  { keys, role, region }: S3Settings,
  connections: Connections,
  sessionName: string
): S3Keys | (() => Promise<S3Session>) {
  return role === undefined ? keys : () => sessionOf({ keys, role, region, connections, sessionName })
}
