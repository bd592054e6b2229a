/**
 * Begins work on items ahead of its turn, at most `ahead` at once, and yields the results in the items' order. Stops at the
 * first failure or the signal; when it returns nothing is under way any more.
 */
export async function* inOrder<Item, Result>(
  items: Iterator<Item>,
  ahead: number,
  begin: (item: Item) => Promise<Result>,
  signal: AbortSignal
): AsyncGenerator<Result> {
  const begun: Promise<Result>[] = []
  try {
    for (;;) {
      while (begun.length < ahead) {
        const { value, done } = items.next()
        if (done) break
        const working = begin(value)
        working.catch(() => {}) // it is awaited below, in its turn
        begun.push(working)
      }
      const next = begun.shift()
      if (!next) return
      const result = await next
      signal.throwIfAborted()
      yield result
    }
  } finally {
    await Promise.allSettled(begun)
  }
}
