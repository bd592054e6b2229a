import { inspect } from 'node:util'

/** A value that must not be seen: prints `[redacted]` in logs, JSON, errors and templates. Open it at the last moment. */
export class Secret<T = unknown> {
  readonly #value: T

  constructor(value: T) {
    this.#value = value
  }

  /** The hidden value. Whoever calls this keeps it out of logs, errors, argv and answers. */
  unwrap(): T {
    return this.#value
  }

  toString(): string {
    return '[redacted]'
  }

  toJSON(): string {
    return '[redacted]'
  }

  [inspect.custom](): string {
    return '[redacted]'
  }
}
