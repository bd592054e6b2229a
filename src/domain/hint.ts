/** What a message of ours tells its reader to do: they say what happened, a colon, and what to do. */
export function hintIn(message: string): string | undefined {
  const at = message.lastIndexOf(': ')
  return at < 0 ? undefined : message.slice(at + 2)
}
