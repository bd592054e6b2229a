import type { GuestChange } from '../guest.ts'
import type { ScrubStep } from '../scrub-step.ts'

const SCRIPT = '/etc/first-boot-script'
const UNIT = '/etc/systemd/system/first-boot-script.service'
const GENERATOR = '/usr/lib/systemd/system-generators/first-boot-script'

/** `-`: a script that fails is not run again either. */
const UNIT_TEXT = `[Unit]
Description=Runs a script at the first start, then goes
After=local-fs.target systemd-machine-id-commit.service
Before=ssh.service sshd.service

[Service]
Type=oneshot
ExecStart=-${SCRIPT}
ExecStartPost=/bin/rm -f ${SCRIPT} ${UNIT} ${GENERATOR}
`

/** Enables the unit: a link would do, but these two are files, and in folders that every guest with systemd has. */
const GENERATOR_TEXT = `#!/bin/sh
mkdir -p "$1/multi-user.target.wants" && ln -sf ${UNIT} "$1/multi-user.target.wants/"
`

/**
 * Puts the operator's script into a guest with systemd.
 * @see systemd.generator(7)
 */
export const firstBoot: ScrubStep = {
  id: 'first-boot',
  about: "the operator's script, which runs once at the next start; put in, not taken out",
  generalizes: true,
  async *changes(files, { firstBootScript }) {
    if (!firstBootScript) return
    for (const folder of ['/etc/systemd/system', '/usr/lib/systemd/system-generators'])
      if ((await files.stat(folder))?.kind !== 'folder') return
    yield write(SCRIPT, firstBootScript, 0o700)
    yield write(UNIT, Buffer.from(UNIT_TEXT), 0o644)
    yield write(GENERATOR, Buffer.from(GENERATOR_TEXT), 0o755)
  }
}

const write = (path: string, bytes: Buffer, mode: number): GuestChange => ({ kind: 'write', path, bytes, mode })
