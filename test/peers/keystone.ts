import { peer } from './peer.ts'

export type KeystoneUser = {
  readonly name: string
  readonly password: string
  readonly id: string
  /** In the domain Default, whose id is `default`. */
  readonly project: string
  readonly projectId: string
}

/** Keystone 22: the domain Default, region RegionOne, and a catalogue with identity and, once it runs, object-store. */
export type Keystone = {
  /** Ends in /v3. */
  readonly keystoneUrl: string
  readonly users: {
    /** Member and reader of the project demo. */
    readonly demo: KeystoneUser
    /** Reader of the project demo, and nothing more. */
    readonly reader: KeystoneUser
    /** Member and reader of the project other. */
    readonly other: KeystoneUser
    /** Admin of the project service, and ResellerAdmin. */
    readonly service: KeystoneUser
    /** Admin of the project admin. */
    readonly admin: KeystoneUser
  }
}

/** @throws PeerMissing */
export const startKeystone = (): Promise<Keystone & AsyncDisposable> => peer<Keystone>('keystone')
