import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { KiB, MiB } from '../../domain/bytes.ts'
import { Refused } from '../refused.ts'
import { endFamily } from './end-family.ts'

const ANSWER_BYTES = 8 * MiB
const COMPLAINT_BYTES = 2 * KiB

/** guestfish, which is told one command after the other and answers on its output. Disposing ends all that it started. */
export class Fish implements AsyncDisposable {
  readonly #process: ChildProcessWithoutNullStreams
  readonly #output: AsyncIterator<Buffer>
  readonly #ended: Promise<unknown>
  readonly #signal: AbortSignal
  readonly #end: () => void
  #heard = Buffer.alloc(0)
  #complaint = ''
  #last: Promise<unknown> = Promise.resolve()

  /** @param signal when it fires the whole family of processes is ended; what is asked then, and later, is refused */
  constructor(command: readonly string[], folder: string, env: Readonly<Record<string, string>>, signal: AbortSignal) {
    const [program = '', ...args] = command
    this.#process = spawn(program, args, { cwd: folder, env, detached: true, stdio: ['pipe', 'pipe', 'pipe'] })
    this.#output = this.#process.stdout[Symbol.asyncIterator]()
    this.#ended = once(this.#process, 'close').catch(() => undefined)
    this.#process.stdin.on('error', () => {})
    this.#process.stderr.on('data', (bytes: Buffer) => {
      this.#complaint = (this.#complaint + bytes.toString('latin1')).slice(-COMPLAINT_BYTES)
    })
    this.#signal = signal
    this.#end = () => void endFamily(this.#process)
    signal.addEventListener('abort', this.#end)
    if (signal.aborted) this.#end()
  }

  /**
   * @param line of `commandLine`; with a `-` before it an error of it is not the end
   * @returns all that it prints
   * @throws Refused where it fails, and for all that is asked after that
   */
  ask(line: string): Promise<Buffer> {
    const answer = this.#last.then(() => this.#exchange(line))
    this.#last = answer.catch(() => {})
    return answer
  }

  /** As `ask`, as text: one character a byte. */
  async text(line: string): Promise<string> {
    return (await this.ask(line)).toString('latin1')
  }

  /** Says good-bye: the appliance writes what it still has, and ends. */
  async close(): Promise<void> {
    await this.ask('shutdown')
    this.#process.stdin.end()
    await this.#ended
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#signal.removeEventListener('abort', this.#end)
    await endFamily(this.#process)
    await this.#ended
  }

  async #exchange(line: string): Promise<Buffer> {
    // Nobody who fills the guest's disk can know it.
    const mark = `done-${randomUUID()}`
    this.#process.stdin.write(`${line}\necho ${mark}\n`, 'latin1')
    for (;;) {
      const at = this.#heard.indexOf(`${mark}\n`)
      if (at >= 0) {
        const answer = this.#heard.subarray(0, at)
        this.#heard = this.#heard.subarray(at + mark.length + 1)
        return answer
      }
      if (this.#heard.length > ANSWER_BYTES) throw new Refused('answer-too-long', 'there is too much in it to look at')
      const { value, done } = await this.#output.next()
      if (done) throw this.#refusal(line)
      this.#heard = Buffer.concat([this.#heard, value])
    }
  }

  /** What guestfish complained of may hold names of the guest: it is for logs, beside the message. */
  #refusal(line: string): Refused {
    const refused = new Refused('appliance', `the appliance could not do what it was asked (${line.split(' ')[0]})`)
    refused.cause = new Error(this.#complaint.trim() || 'it ended without a word')
    return refused
  }
}
