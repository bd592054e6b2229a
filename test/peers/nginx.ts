import { peer } from './peer.ts'

/**
 * nginx with DAV. Below every base URL: /put/ takes all; /auth/ wants Basic user:pass; /bearer/ wants the token `tok`; /header/
 * wants `x-upload-key: letmein`; /small/ takes 1 MiB at most; /ro/ is read-only (405); /r307/x redirects to /put/x; /rmeta/
 * redirects to the metadata address; /e403, /e500, /e503 (Retry-After: 1) answer that; /drop answers nothing.
 */
export type Nginx = {
  readonly http: string
  readonly https: string
  readonly httpsExpired: string
  readonly httpsWrongName: string
  /** Wants the client's certificate. */
  readonly httpsClientCert: string
  readonly caPem: string
  readonly clientCertPem: string
  readonly clientKeyPem: string
  /** The folder behind /put/, /auth/, /small/ and /ro/; /bearer/x is in bearer/x, /header/x in header/x. */
  readonly files: string
}

/** @throws PeerMissing */
export const startNginx = (): Promise<Nginx & AsyncDisposable> => peer<Nginx>('nginx')
