// What cargo-deny knows of the crates: known vulnerabilities, crates that must not be there, where they come from (deny.toml).

import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { ask, run } from '../command.mjs'
import { path } from '../project.mjs'
import { Problem, say, yellow } from '../progress.mjs'
import { addCargoTool, cargoTool } from '../setup/cargo-tools.mjs'

/** The cargo workspaces of their own. */
const WORKSPACES = ['.', 'agents', 'tests/guests']

/** Where a copy of the RustSec advisory database is, if somebody names one: a git checkout or a bare clone's work tree. */
const database = process.env.CAPFS_ADVISORY_DB

/** Milliseconds that fetching the database may take before it counts as out of reach. */
const FETCH_MS = 30_000

/** Fetches the database from where it is published, and says whether that worked. */
const fetched = () => ask([cargoTool('cargo-deny'), '--manifest-path', path('Cargo.toml'), 'fetch', 'db'], { timeout: FETCH_MS }) !== undefined

/** @param {(invariant: string, violations: string[]) => void} report */
export async function checkCargoDeny(report) {
  await addCargoTool('cargo-deny')
  const deny = async (workspace, ...args) => {
    const manifest = path(workspace, 'Cargo.toml')
    try {
      await run([cargoTool('cargo-deny'), '--manifest-path', manifest, '--all-features', '--locked', 'check', '--config', path('deny.toml'), '--hide-inclusion-graph', ...args])
      return []
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      return [`${workspace}: cargo deny check ${args.at(-1)}`, ...(error.output ?? error.message).split('\n')]
    }
  }
  for (const check of ['bans', 'sources']) {
    const found = []
    for (const workspace of WORKSPACES) found.push(...(await deny(workspace, check)))
    report(`cargo deny check ${check}`, found)
  }

  const kept = join(process.env.CARGO_HOME ?? join(homedir(), '.cargo'), 'advisory-dbs')
  if (!database && !fetched() && !existsSync(kept)) {
    say(yellow('  no advisory database here, and no way to it: known vulnerabilities were NOT looked for (CAPFS_ADVISORY_DB names a copy)'))
    return
  }
  const found = []
  for (const workspace of WORKSPACES) found.push(...(await deny(workspace, '--disable-fetch', 'advisories')))
  report('cargo deny check advisories', found)
}
