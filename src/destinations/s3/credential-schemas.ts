import { type TSchema, Type } from 'typebox'
import { GiB, MiB } from '../../domain/bytes.ts'
import { TLS_FIELD } from '../tls.ts'

const text = (maxLength: number, description: string) => Type.String({ minLength: 1, maxLength, description })
const signedUrl = (description: string) => text(8192, description)
const closed = { additionalProperties: false } as const

const keys = {
  access_key_id: text(256, 'Access key id'),
  secret_access_key: text(1024, 'Secret access key'),
  session_token: Type.Optional(text(8192, 'Session token of temporary credentials'))
}

const store = {
  tls: TLS_FIELD,
  endpoint: Type.Optional(text(2048, 'https://host of the S3 service; AWS when absent')),
  region: Type.Optional(text(64, 'Region of the bucket; us-east-1 when absent')),
  addressing_style: Type.Optional(
    Type.Enum(['auto', 'path', 'virtual'], { description: 'Where the bucket goes: path or host name' })
  ),
  sse: Type.Optional(
    Type.Object(
      {
        mode: Type.Enum(['none', 's3', 'kms', 'c'], {
          description: 'Who holds the key: the store, its key service, or you'
        }),
        kms_key_id: Type.Optional(text(2048, 'Key of the key service; its default when absent (kms)')),
        customer_key: Type.Optional(text(44, 'AES-256 key: 32 bytes in base64 (c)'))
      },
      { ...closed, description: 'Encryption at the store; an export fails where the store does not confirm it' }
    )
  )
}

/** The kinds of credentials for `s3` URLs. What a schema cannot say is checked in settings.ts and presigned-settings.ts. */
export const S3_CREDENTIALS: readonly TSchema[] = [
  Type.Object({ kind: Type.Literal('s3_static'), ...keys, ...store }, closed),
  Type.Object(
    {
      kind: Type.Literal('s3_assume_role'),
      ...keys,
      role_arn: text(2048, 'Role to assume with the keys'),
      external_id: Type.Optional(text(1224, 'External id that the role asks for')),
      session_name: Type.Optional(text(64, 'Name of the session in the audit log of the account')),
      duration_seconds: Type.Optional(
        Type.Integer({
          minimum: 900,
          maximum: 43_200,
          description: 'Life of a session, 3600 when absent; it is renewed as long as the export runs'
        })
      ),
      sts_endpoint: Type.Optional(
        text(2048, 'https://host of the token service; AWS, or the given endpoint, when absent')
      ),
      ...store
    },
    closed
  ),
  Type.Object(
    {
      kind: Type.Literal('s3_presigned'),
      tls: TLS_FIELD,
      put_url: Type.Optional(
        signedUrl('Pre-signed PUT of the object; the others belong to a multipart upload instead')
      ),
      parts: Type.Optional(
        Type.Array(signedUrl('Pre-signed UploadPart'), {
          minItems: 1,
          maxItems: 10_000,
          description: 'One URL a part, from part 1 on; not all have to be used'
        })
      ),
      complete_url: Type.Optional(signedUrl('Pre-signed CompleteMultipartUpload')),
      abort_url: Type.Optional(
        signedUrl('Pre-signed AbortMultipartUpload; used when an attempt fails, and then no other attempt can succeed')
      ),
      part_bytes: Type.Optional(
        Type.Integer({
          minimum: 5 * MiB,
          maximum: 5 * GiB,
          description: 'Size of every part but the last; planned from the size of the file when absent'
        })
      )
    },
    closed
  )
]
