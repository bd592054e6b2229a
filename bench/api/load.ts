import autocannon from 'autocannon'

/** One run of the load generator. */
export type Load = {
  readonly url: string
  readonly token: string
  readonly connections: number
  readonly seconds: number
  readonly requests: readonly { readonly method: 'GET' | 'POST'; readonly path: string; readonly body?: string }[]
}

export type Figures = {
  /** Answers a second. */
  readonly rate: number
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
  /** Answers other than 2xx, and requests without one. */
  readonly bad: number
}

// Takes a Load as JSON in its argument, prints Figures as JSON. A process of its own, on a core of its own.
if (import.meta.main) {
  const { url, token, connections, seconds, requests } = JSON.parse(process.argv[2] ?? '') as Load
  const result = await autocannon({
    url,
    connections,
    duration: seconds,
    timeout: 120,
    headers: { 'x-auth-token': token, 'content-type': 'application/json', accept: 'application/json' },
    requests: requests.map((request) => ({ ...request }))
  })
  const figures: Figures = {
    rate: result['2xx'] / result.duration,
    p50: result.latency.p50,
    p99: result.latency.p99,
    bad: result.non2xx + result.errors
  }
  console.log(JSON.stringify(figures))
}
