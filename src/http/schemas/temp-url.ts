import { type Static, Type } from 'typebox'
import { Nullable, RangeHeader, Time } from './common.ts'

const closed = { additionalProperties: false }

/** Swift's parameters. For the document only: whatever else they are, the answer is the same as to an unknown URL. */
export const FileQuery = Type.Object({
  temp_url_sig: Type.String({ description: 'HMAC-SHA256, lower-case hex' }),
  temp_url_expires: Type.String({ description: 'Seconds since 1970' }),
  temp_url_ip_range: Type.Optional(Type.String({ description: 'Who may use the URL; part of what is signed' })),
  filename: Type.Optional(Type.String({ description: 'Name to save the file under' })),
  inline: Type.Optional(Type.String({ description: 'Content-Disposition: inline instead of attachment' }))
})

export const FileParams = Type.Object({
  taskId: Type.String({ description: 'Id of the task' }),
  fileName: Type.String({ description: 'Name of the file' })
})

export const FileRequestHeaders = Type.Object({
  range: RangeHeader,
  'if-range': Type.Optional(Type.String({ description: 'ETag or Last-Modified of the part that is there already' })),
  'if-none-match': Type.Optional(Type.String({ description: 'ETags that need not be sent again' }))
})

export const TempUrlRequest = Type.Object(
  {
    ttl_seconds: Type.Optional(
      Type.Integer({
        minimum: 60,
        maximum: 2_592_000,
        description: "How long it is good from now on; the service's usual time if left out"
      })
    ),
    ip_range: Type.Optional(
      Nullable(
        Type.String({
          maxLength: 43,
          description: 'Address or network of those who may use it, null for everybody; as before if left out',
          examples: ['203.0.113.0/24']
        })
      )
    ),
    revoke_earlier: Type.Optional(
      Type.Boolean({ description: 'Makes every URL void that was given out before; without it they stay good' })
    )
  },
  {
    ...closed,
    title: 'TempUrlRequest',
    description: 'What the next temporary URL is to be like',
    examples: [{ ttl_seconds: 3600 }]
  }
)

export const TempUrlAnswer = Type.Object(
  {
    export_location: Type.String({ description: 'The URL; whoever has it can download the file' }),
    expires_at: Time('From then on it is void'),
    ip_range: Nullable(Type.String({ description: 'Who may use it; null is everybody' }))
  },
  { title: 'TempUrl', description: 'A signed URL of an exported file' }
)
export type TempUrlAnswer = Static<typeof TempUrlAnswer>

const download = Type.Object({
  started_at: Time('When it began'),
  finished_at: Nullable(Time('Null while it goes on, or where its end is not known')),
  client: Type.String({ description: 'Address it went to' }),
  status: Type.Integer({ description: '200 for the whole file, 206 for a range' }),
  range: Type.Object({ from: Type.Integer(), to: Type.Integer() }, { description: 'Bytes from..to, to excluded' }),
  bytes_sent: Type.Integer({ description: 'Handed to the connection so far' }),
  complete: Type.Boolean({ description: 'Whether all of it was sent' })
})

export const DownloadList = Type.Object(
  { downloads: Type.Array(download) },
  { title: 'DownloadList', description: 'Downloads of a file, the newest first, at most 1000' }
)
export type DownloadList = Static<typeof DownloadList>
