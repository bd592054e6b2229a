/** A create that its client may repeat: `operation` is method and path, `key` the client's own, `body` as it came. */
export type OnceAsked = { readonly operation: string; readonly key: string; readonly body: unknown }

/** The same as the store knows it. `prints` are keyed hashes of the body, one a key-encryption key, the current one first. */
export type Once = { readonly operation: string; readonly key: string; readonly prints: readonly Buffer[] }

/** Tells bodies apart without keeping them: they hold credentials. */
export type BodyPrints = (body: unknown) => readonly Buffer[]
