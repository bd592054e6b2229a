/** `YYYY-MM-DDTHH:MM:SSZ`, as Glance writes times. */
export const toWireTime = (time: Date): string => `${time.toISOString().slice(0, 19)}Z`
