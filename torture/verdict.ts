/** What had to hold, how often it was looked at, and every time that it did not. */
export class Verdict {
  readonly looks = new Map<string, { times: number; violations: string[] }>()

  /** @param violation what was found instead; undefined or false where all is well */
  look(what: string, violation: string | false | undefined): void {
    const one = this.looks.get(what) ?? { times: 0, violations: [] }
    one.times += 1
    if (violation) one.violations.push(violation)
    this.looks.set(what, one)
  }

  get violations(): readonly string[] {
    return [...this.looks].flatMap(([what, { violations }]) => violations.map((one) => `${what}: ${one}`))
  }
}
