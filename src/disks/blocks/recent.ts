/**
 * Keeps what was loaded last. Whoever asks while a load is under way waits for that one; a failed load is forgotten. What is
 * there is given at once: a promise for every block of a disk would be most of what reading leaves to the garbage collector.
 */
export class Recent<Value> {
  readonly #capacity: number
  /** In the order of their last use. */
  readonly #values = new Map<number, Value | Promise<Value>>()
  #newest: number | undefined

  /** @param capacity how many values are kept, at least 1 */
  constructor(capacity: number) {
    this.#capacity = capacity
  }

  get(key: number, load: () => Promise<Value>): Value | Promise<Value> {
    const known = this.#values.get(key)
    if (known !== undefined && key === this.#newest) return known
    this.#values.delete(key)
    const value = known ?? this.#loaded(key, load())
    this.#values.set(key, value)
    this.#newest = key
    for (const oldest of this.#values.keys()) {
      if (this.#values.size <= this.#capacity) break
      this.#values.delete(oldest)
    }
    return value
  }

  #loaded(key: number, loading: Promise<Value>): Promise<Value> {
    loading.then(
      (value) => {
        if (this.#values.get(key) === loading) this.#values.set(key, value)
      },
      () => {
        if (this.#values.get(key) === loading) this.#values.delete(key)
      }
    )
    return loading
  }
}
