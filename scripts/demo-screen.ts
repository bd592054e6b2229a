import { MiB } from '../src/domain/bytes.ts'

const BAR_WIDTH = 30

/** Writes the demo's steps: one line each with its time, and a bar where something moves. */
export class Screen {
  readonly #out: NodeJS.WriteStream
  readonly #live: boolean
  #lastPercent = 0

  constructor(out: NodeJS.WriteStream) {
    this.#out = out
    this.#live = out.isTTY === true
  }

  line(text = ''): void {
    this.#out.write(`${text}\n`)
  }

  /** Runs one step and prints its name, what it says about its outcome, and the time it took. */
  async step<T>(name: string, work: () => Promise<T>, describe: (result: T) => string): Promise<T> {
    const startedAt = performance.now()
    if (this.#live) this.#out.write(`${this.#dim('…')} ${name}`)
    const result = await work()
    const seconds = `${((performance.now() - startedAt) / 1000).toFixed(2)} s`
    this.#erase()
    this.line(`${this.#green('✓')} ${name.padEnd(18)} ${describe(result).padEnd(66)} ${this.#dim(seconds)}`)
    return result
  }

  /** A bar that redraws itself on a terminal, else a line for each quarter. */
  progress(label: string, percent: number): void {
    const filled = Math.round((percent / 100) * BAR_WIDTH)
    const bar = '█'.repeat(filled) + '░'.repeat(BAR_WIDTH - filled)
    if (this.#live) {
      this.#erase()
      this.#out.write(`${this.#dim('…')} ${label.padEnd(18)} ${bar} ${percent.toFixed(1).padStart(5)} %`)
    } else if (percent >= this.#lastPercent + 25) {
      this.line(`  ${label.padEnd(18)} ${percent.toFixed(1)} %`)
      this.#lastPercent = percent
    }
  }

  fail(message: string): void {
    this.#erase()
    this.line(`${this.#paint(31, '✗')} ${message}`)
  }

  #erase(): void {
    if (this.#live) this.#out.write('\r\x1b[K')
  }

  #green(text: string): string {
    return this.#paint(32, text)
  }

  #dim(text: string): string {
    return this.#paint(2, text)
  }

  #paint(code: number, text: string): string {
    return this.#live ? `\x1b[${code}m${text}\x1b[0m` : text
  }
}

export const mib = (bytes: number): string => `${(bytes / MiB).toFixed(1)} MiB`
