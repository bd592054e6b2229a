/** Keeps what was loaded last. Whoever asks while a load is under way waits for that one; a failed load is forgotten. */
export class Recent<Value> {
  readonly #capacity: number
  /** In the order of their last use. */
  readonly #loads = new Map<number, Promise<Value>>()

  /** @param capacity how many values are kept, at least 1 */
  constructor(capacity: number) {
    this.#capacity = capacity
  }

  get(key: number, load: () => Promise<Value>): Promise<Value> {
    const known = this.#loads.get(key)
    const value = known ?? load()
    this.#loads.delete(key)
    this.#loads.set(key, value)
    if (known) return known
    value.catch(() => {
      if (this.#loads.get(key) === value) this.#loads.delete(key)
    })
    for (const oldest of this.#loads.keys()) {
      if (this.#loads.size <= this.#capacity) break
      this.#loads.delete(oldest)
    }
    return value
  }
}
