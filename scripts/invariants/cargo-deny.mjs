// What cargo-deny knows of the crates: known vulnerabilities, crates that must not be there, where they come from (deny.toml).

import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { ask, run } from '../command.mjs'
import { Problem, say, yellow } from '../progress.mjs'
import { path, target } from '../project.mjs'
import { addCargoTool, cargoTool } from '../setup/cargo-tools.mjs'

/** The cargo workspaces. */
const WORKSPACES = ['.', 'agents', 'tests/guests']

/** What cargo-deny calls its copy of the RustSec advisory database: the name and a hash of the address that it is published at. */
const DATABASE = 'advisory-db-3157b0e258782691'

/** Milliseconds that fetching the database may take before it counts as out of reach. */
const FETCH_MS = 30_000

/**
 * A configuration by which a database that somebody names is used instead of a fetched one.
 *
 * @param {string} database a checkout of the RustSec advisory database
 */
function configuredFor(database) {
  const folder = join(target, 'tools', 'advisories')
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  symlinkSync(resolve(database), join(folder, DATABASE))
  const config = join(folder, 'deny.toml')
  const text = readFileSync(path('deny.toml'), 'utf8')
  writeFileSync(config, text.replace('[advisories]', `[advisories]\ndb-path = ${JSON.stringify(folder)}`))
  return config
}

/** Runs one check on every workspace, and answers what it found. */
async function checked(check, { config = path('deny.toml'), offline = false } = {}) {
  const found = []
  for (const workspace of WORKSPACES) {
    const options = ['--manifest-path', path(workspace, 'Cargo.toml'), '--config', config, '--all-features', '--locked']
    if (offline) options.push('--offline')
    try {
      await run([cargoTool('cargo-deny'), ...options, 'check', '--hide-inclusion-graph', check])
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      found.push(`${workspace}/Cargo.toml:`, ...(error.output ?? error.message).split('\n'))
    }
  }
  return found
}

/** @param {(invariant: string, violations: string[]) => void} report */
export async function checkCargoDeny(report) {
  await addCargoTool('cargo-deny')
  for (const check of ['bans', 'sources']) report(`cargo deny check ${check}`, await checked(check))

  const invariant = 'cargo deny check advisories: no known vulnerability'
  if (process.env.CAPFS_ADVISORY_DB) {
    const config = configuredFor(process.env.CAPFS_ADVISORY_DB)
    return report(invariant, await checked('advisories', { config, offline: true }))
  }
  const kept = join(process.env.CARGO_HOME ?? join(homedir(), '.cargo'), 'advisory-dbs', DATABASE)
  const fetched = ask([cargoTool('cargo-deny'), '--manifest-path', path('Cargo.toml'), 'fetch', 'db'], { timeout: FETCH_MS }) !== undefined
  if (!fetched && !existsSync(kept)) {
    say(yellow('  no advisory database here and no way to it: known vulnerabilities were NOT looked for (CAPFS_ADVISORY_DB names a copy of it)'))
    return
  }
  report(invariant, await checked('advisories', { offline: true }))
}
