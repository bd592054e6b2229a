import type { Destination } from '../../src/destinations/destination.ts'
import { createDestinations, type DestinationSettings, type Destinations } from '../../src/destinations/registry.ts'

/** A kind of destination as several workers have it, each on connections of its own. */
export function workersOf(scheme: string, settings: DestinationSettings) {
  const all: Destinations[] = []
  const anotherWorker = (): Destination => {
    const destinations = createDestinations(settings)
    all.push(destinations)
    return destinations.forScheme(scheme)
  }
  return {
    destination: anotherWorker(),
    anotherWorker,
    closeWorkers(): void {
      for (const destinations of all) destinations.close()
    }
  }
}
