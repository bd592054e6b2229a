/**
 * Why a partition table or a file system is not trusted: nothing of it is dropped then. `rule` is stable and names the check.
 *
 * The message goes into reports as it is and never holds text that the guest chose.
 */
export class Refused extends Error {
  override readonly name = 'Refused'
  readonly rule: string

  constructor(rule: string, why: string) {
    super(why)
    this.rule = rule
  }
}
