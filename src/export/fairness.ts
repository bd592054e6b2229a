/** How projects share the workers. */
export type Fairness = {
  /** A project with weight 3 gets three times the bytes of one with weight 1, which all have that are not named. */
  readonly weights: Readonly<Record<string, number>>
  /** Exports to one host, or bucket, that run at once on all workers together; 0: any number. */
  readonly hostConcurrency: number
  /** Exports of one project that run at once on all workers together; 0: any number. */
  readonly projectConcurrency: number
}

export const EQUAL_SHARES: Fairness = { weights: {}, hostConcurrency: 0, projectConcurrency: 0 }
