import { readFile } from 'node:fs/promises'
import { constants, deflateRawSync, zstdCompressSync } from 'node:zlib'

/**
 * What the ways of compressing a cluster of 64 KiB cost, and how small they make it: `node bench/deflate.ts FILE`, of the
 * first 50 MB of it. Only CPU seconds and sizes: both are the same on a loaded machine. Printed as a table for DEFLATE.md.
 */
const CLUSTER_BYTES = 65_536
const bytes = (await readFile(process.argv[2] ?? process.execPath)).subarray(0, 50_000_000)

const deflate = (level: number, windowBits: number) => (cluster: Buffer) =>
  deflateRawSync(cluster, { level, windowBits, memLevel: 9 })
const zstd = (level: number) => (cluster: Buffer) =>
  zstdCompressSync(cluster, { params: { [constants.ZSTD_c_compressionLevel]: level } })

const ways: [string, (cluster: Buffer) => Buffer][] = [
  ...[1, 2, 3, 4, 5, 6].map((level): [string, (cluster: Buffer) => Buffer] => [
    `deflate level ${level}, window 4 KiB`,
    deflate(level, 12)
  ]),
  ...[1, 2, 3, 6].map((level): [string, (cluster: Buffer) => Buffer] => [
    `deflate level ${level}, window 32 KiB`,
    deflate(level, 15)
  ]),
  ...[1, 2, 3].map((level): [string, (cluster: Buffer) => Buffer] => [`zstd level ${level}`, zstd(level)])
]

console.log(
  `Clusters of 64 KiB of ${(bytes.length / 1e6).toFixed(0)} MB; Node ${process.version}, zlib ${process.versions.zlib}.\n`
)
console.log('| way | MB | CPU s |\n| --- | ---: | ---: |')
for (const [name, compress] of ways) {
  const before = process.cpuUsage()
  let packed = 0
  for (let at = 0; at + CLUSTER_BYTES <= bytes.length; at += CLUSTER_BYTES) {
    packed += Math.min(CLUSTER_BYTES, compress(bytes.subarray(at, at + CLUSTER_BYTES)).length)
  }
  const { user, system } = process.cpuUsage(before)
  console.log(`| ${name} | ${(packed / 1e6).toFixed(2)} | ${((user + system) / 1e6).toFixed(2)} |`)
}
