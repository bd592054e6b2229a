import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { ova } from '../../../src/formats/ova.ts'
import { tarHeader } from '../../../src/formats/tar.ts'
import { describePackedFormat } from '../../contracts/packed-format.contract.ts'

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

/** The files of a tar, by the real tar. */
function unpacked(archive: Buffer): Map<string, Buffer> {
  const folder = mkdtempSync(join(tmpdir(), 'ova-'))
  execFileSync('tar', ['-xf', '-', '-C', folder], { input: archive })
  const names = execFileSync('tar', ['-tf', '-'], { input: archive, encoding: 'utf8' }).trim().split('\n')
  expect(names.toSorted()).toEqual(readdirSync(folder).toSorted())
  const files = new Map(names.map((name) => [name, readFileSync(join(folder, name))]))
  rmSync(folder, { recursive: true })
  return files
}

const ANNOTATION = `import sys, xml.etree.ElementTree as tree
found = tree.fromstring(sys.stdin.buffer.read()).findall('.//{*}Annotation')
print(*(one.text for one in found), sep='', end='')`

/** The disk of an OVA, after a look at what stands around it. */
const diskOf =
  (annotation: string) =>
  (archive: Buffer): Buffer => {
    const files = unpacked(archive)
    const {
      'disk.ovf': ovf = Buffer.of(),
      'disk.vmdk': vmdk = Buffer.of(),
      'disk.mf': manifest
    } = Object.fromEntries(files)

    expect([...files.keys()]).toEqual(['disk.ovf', 'disk.vmdk', 'disk.mf'])
    expect(String(manifest)).toBe(`SHA256(disk.ovf)= ${sha256(ovf)}\nSHA256(disk.vmdk)= ${sha256(vmdk)}\n`)
    expect(String(ovf)).toContain(`ovf:href="disk.vmdk" ovf:size="${vmdk.length}"`)
    const xml = String(ovf).trimEnd()
    expect(execFileSync('python3', ['-c', ANNOTATION], { input: xml, encoding: 'utf8' })).toBe(annotation)
    return vmdk
  }

describePackedFormat('ova', ova(3), { qemuFormat: 'vmdk', checkable: true, unwrap: diskOf('') })

const TOLD = { os_distro: 'debian', 'os:note': 'a <b> & "c" ]]>\u0007\n\u{1F427}', long: 'x'.repeat(5000) }
describePackedFormat('ova that tells properties', ova(3, TOLD), {
  qemuFormat: 'vmdk',
  checkable: true,
  unwrap: diskOf(`os_distro: debian\nos:note: a <b> & "c" ]]> \u{1F427}\nlong: ${TOLD.long}`)
})

it('writes sizes of 8 GiB and more as tar reads them', () => {
  const listed = (size: number) =>
    execFileSync('tar', ['-tvf', '-', '--ignore-zeros'], {
      input: tarHeader('disk.vmdk', size),
      encoding: 'utf8',
      stdio: ['pipe', 'pipe', 'ignore']
    })
  const sizes = [8 ** 11 - 1, 8 ** 11, 2 ** 41].map((size) => {
    try {
      return listed(size)
    } catch (error) {
      return String((error as { stdout?: string }).stdout) // it misses the content, after it has said the size
    }
  })
  expect(sizes.map((line) => /(\d+) 1970-01-01/.exec(line)?.[1])).toEqual(['8589934591', '8589934592', '2199023255552'])
})
