import type { Reporter, TestModule } from 'vitest/node'

/** Says at the end of a run how many tests were skipped for want of a real server, and why. */
export class SkipReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    for (const module of modules) {
      const counts = new Map<string, number>()
      for (const test of module.children.allTests('skipped')) {
        const reason = test.meta().skipReason
        if (reason) counts.set(reason, (counts.get(reason) ?? 0) + 1)
      }
      for (const [reason, count] of counts)
        process.stdout.write(`skipped: ${count} tests of ${module.relativeModuleId}: ${reason}\n`)
    }
  }
}
