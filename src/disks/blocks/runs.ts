/** Gathers neighbours in the file, so that a whole run of them costs one look. */
export class Runs {
  readonly #look: (first: number, count: number) => void
  #first = 0
  #count = 0

  constructor(look: (first: number, count: number) => void) {
    this.#look = look
  }

  add(first: number, count: number): void {
    if (first === this.#first + this.#count) this.#count += count
    else {
      this.end()
      this.#first = first
      this.#count = count
    }
  }

  end(): void {
    if (this.#count > 0) this.#look(this.#first, this.#count)
  }
}
