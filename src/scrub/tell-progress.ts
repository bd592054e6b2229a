import type { ScrubProgress } from '../domain/scrub-report.ts'
import type { Edit } from './guest-editor.ts'
import type { ScrubPlan } from './profiles.ts'
import type { ScrubStep } from './scrub-step.ts'

/** Tells that what has this name begins. */
export type Begin = (name: string) => void

/** @param operatorSteps ids of the operator's own steps */
export function progressOf(
  plan: ScrubPlan,
  operatorSteps: readonly string[],
  tell: (now: ScrubProgress) => void
): Begin {
  const all = [
    'checking',
    ...plan.steps.map(({ id }) => id),
    ...(plan.secrets === 'off' ? [] : ['secrets']),
    'settling',
    ...operatorSteps.map(customStep),
    'free-space'
  ]
  return (step) => tell({ step, done: all.indexOf(step), of: all.length })
}

/** How an operator's own step is told apart from a built-in one. */
export const customStep = (id: string): string => `custom/${id}`

/** Steps and looks that tell when their turn has come: an editor need not know who watches. */
export const toldEdit = (begin: Begin, steps: readonly ScrubStep[], looks: Edit['looks']) => ({
  steps: steps.map((step) => ({ ...step, changes: (...about) => changesOf(begin, step, about) }) satisfies ScrubStep),
  looks: [
    ...looks.map((look): Edit['looks'][number] => async (files, signal) => {
      begin('secrets')
      await look(files, signal)
    }),
    async () => begin('settling')
  ]
})

async function* changesOf(begin: Begin, step: ScrubStep, about: Parameters<ScrubStep['changes']>) {
  begin(step.id)
  yield* step.changes(...about)
}
