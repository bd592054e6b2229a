/** What may be logged of an error: never its cause or its own fields, which may hold what a client or a destination sent. */
export function describeError(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return { name: typeof error }
  return {
    name: error.name,
    message: error.message,
    ...('code' in error && { code: String(error.code) }),
    at: stackFrames(error)
  }
}

/** Where it happened, without the message that a stack begins with. */
const stackFrames = (error: Error): string[] =>
  (error.stack ?? '')
    .split('\n')
    .filter((line) => line.startsWith('    at '))
    .slice(0, 6)
    .map((line) => line.trim())
