/** Units in a row, the last of which may be shorter. */
type Run = { readonly from: number; readonly to: number; readonly chosen: boolean }

/** Takes bytes apart into runs of units that are chosen and runs of those that are not. */
export function* runs(
  bytes: Buffer,
  unitBytes: number,
  choose: (unit: Buffer, from: number) => boolean
): Generator<Run, void> {
  let run = { from: 0, chosen: false }
  for (let at = 0; at < bytes.length; at += unitBytes) {
    const chosen = choose(bytes.subarray(at, at + unitBytes), at)
    if (chosen === run.chosen) continue
    if (at > run.from) yield { ...run, to: at }
    run = { from: at, chosen }
  }
  if (bytes.length > run.from) yield { ...run, to: bytes.length }
}
