// What no committed file may hold: addresses of package registries and paths of one machine.

import { readFileSync, statSync } from 'node:fs'
import { homedir } from 'node:os'
import { run } from '../command.mjs'
import { path, root } from '../project.mjs'

/**
 * Hosts of package registries. Written in pieces, or this file would be its own first finding.
 * crates.io's index on GitHub is not among them: that is how every Cargo.lock names crates.io.
 */
const REGISTRIES = [
  ['registry.npmjs', 'org'], ['registry.yarnpkg', 'com'], ['index.crates', 'io'], ['static.crates', 'io'], ['files.pythonhosted', 'org'],
  ['pypi', 'org/simple'], ['proxy.golang', 'org'], ['deb.debian', 'org'], ['archive.ubuntu', 'com'],
].map((pieces) => pieces.join('.'))

/** Lines of a source file above which it wants to be two. */
const LONGEST = 900
/** Tests are tables of cases and may be longer. */
const SOURCES = /^(?!(.*\/)?tests\/).*\.(rs|ts|mjs|js|c|css)$/

/** @param {(invariant: string, violations: string[]) => void} report */
export async function checkTrackedFiles(report) {
  const names = (await run(['git', 'ls-files', '-z'])).split('\0').filter(Boolean)
  const addresses = []
  const paths = []
  const long = []
  const own = [`${root}/`, homedir() === '/' ? undefined : `${homedir()}/`].filter(Boolean)
  for (const name of names) {
    // A file that was deleted but not yet committed as such is still listed.
    if (!statSync(path(name), { throwIfNoEntry: false })?.isFile()) continue
    const lines = readFileSync(path(name), 'latin1').split('\n')
    lines.forEach((line, index) => {
      const where = `${name}:${index + 1}`
      const registry = REGISTRIES.find((address) => line.includes(address))
      if (registry) addresses.push(`${where} names ${registry}`)
      if (name.endsWith('package-lock.json') && /"resolved": "https?:/.test(line)) addresses.push(`${where} has an address to fetch from`)
      const machine = own.find((prefix) => line.includes(prefix))
      if (machine) paths.push(`${where} has a path of this machine, ${machine}`)
    })
    if (SOURCES.test(name) && lines.length > LONGEST) long.push(`${name} has ${lines.length} lines`)
  }
  report('no committed file names a package registry', addresses)
  report('no committed file has a path of this machine', paths)
  report(`no source file is longer than ${LONGEST} lines`, long)
}
