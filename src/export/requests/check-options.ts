import type { Credentials, Destination } from '../../destinations/destination.ts'
import { OptionUnsupported } from '../../domain/export-errors.ts'
import type { ExportOptions } from '../../domain/export-options.ts'

/** @throws OptionUnsupported for the first option that cannot be carried out there */
export function checkOptions(
  options: ExportOptions,
  destination: Destination,
  credentials: Credentials | undefined
): void {
  const { key_template: _name, if_exists: _policy, ...others } = options.object
  const can: readonly string[] = destination.objectOptions
  const cannot = Object.keys(others).find((name) => !can.includes(name))
  if (cannot) {
    const kind = destination.schemes.join(', ')
    throw new OptionUnsupported(`/object/${cannot}`, `a destination of the kind ${kind} cannot do this`)
  }
  if (destination.namesObject(credentials)) checkOneObject(options)
  if (destination.writesOnly?.(credentials)) checkWithoutReading(options)
}

function checkOneObject({ object, sidecars }: ExportOptions): void {
  const refuse = (pointer: string) => new OptionUnsupported(pointer, 'the URL of export_to is signed for one object')
  if (object.key_template !== undefined) throw refuse('/object/key_template')
  if (object.if_exists === 'suffix') throw refuse('/object/if_exists')
  if (sidecars.length > 0) throw refuse('/sidecars')
}

function checkWithoutReading({ verify, object }: ExportOptions): void {
  const refuse = (pointer: string, instead: string) =>
    new OptionUnsupported(pointer, `these credentials can write and not read; choose ${instead}, or send others`)
  if (verify === 'ranges' || verify === 'full') throw refuse('/verify', '"etag" or "none"')
  if (object.if_exists === 'reuse') throw refuse('/object/if_exists', '"replace"')
}
