/** Ends this process as kill -9 does: nothing is closed, given back or written down. */
const die = (): void => {
  process.kill(process.pid, 'SIGKILL')
}

/** Puts a port under watch by its name; gives it back as it is where there is nothing to watch for. */
export type Watch = <T extends object>(name: string, port: T) => T

/**
 * For tests of recovery: ends the process at one call through the ports that an attempt acts by. They are `tasks`,
 * `destinations`, and what these give: a `destination`, and the `upload` that it opens.
 * @param at such as `before tasks.settleSuccess`, or `after upload.putPart 2` for the second of them; undefined: never
 */
export function crashPoints(at: string | undefined, crash: () => void = die): Watch {
  if (at === undefined) return (_name, port) => port
  const [, step, count = '1'] = /^(.*?)(?: (\d+))?$/.exec(at) ?? []
  let left = Number(count)
  const reached = (now: string): void => {
    if (now === step && --left === 0) crash()
  }

  const watch: Watch = (name, port) =>
    new Proxy(port, {
      get(target, key) {
        const member: unknown = Reflect.get(target, key, target)
        if (typeof member !== 'function' || typeof key !== 'string') return member
        const call = `${name}.${key}`
        const after = (given: unknown) => {
          reached(`after ${call}`)
          return watchGiven(call, given)
        }
        return (...input: unknown[]) => {
          reached(`before ${call}`)
          const given: unknown = Reflect.apply(member, target, input)
          return given instanceof Promise ? given.then(after) : after(given)
        }
      }
    })
  const watchGiven = (call: string, given: unknown): unknown => {
    if (typeof given !== 'object' || given === null) return given
    if (call === 'destinations.forTarget') return watch('destination', given)
    if (call === 'destination.open') return watch('upload', given)
    if (call === 'destination.resume' && 'upload' in given)
      return { ...given, upload: watch('upload', Object(given.upload)) }
    return given
  }
  return watch
}
