import { DestinationInvalid } from '../domain/destination-errors.ts'
import type { Credentials } from './destination.ts'

export const credentialsInvalid = (field: string, why: string): DestinationInvalid =>
  new DestinationInvalid(
    'DEST_CREDENTIALS_INVALID',
    `/export_to_credentials/${field}`,
    `export_to_credentials: ${why}.`
  )

/** A text field that has to be there. */
export function textField(credentials: Credentials, field: string): string {
  const value = credentials[field]
  if (typeof value !== 'string' || value === '') throw credentialsInvalid(field, `${field} is missing`)
  return value
}

/** A text field that may be absent. */
export const optionalTextField = (credentials: Credentials, field: string): string | undefined =>
  credentials[field] === undefined ? undefined : textField(credentials, field)
