import type { UploadTarget } from './destination.ts'

/** Whether nobody else can have chosen this name: it has the export's id in it, which only this task knows. */
export const hasOwnName = ({ url, marks }: Pick<UploadTarget, 'url' | 'marks'>): boolean =>
  url.pathname.includes(marks.exportId)
