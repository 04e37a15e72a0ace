// The npm packages of the workspaces.

import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { run } from '../command.mjs'
import { path } from '../project.mjs'
import { Problem, step } from '../progress.mjs'

/** Records what was installed, so that a run with nothing to do costs nothing. */
const stamp = path('node_modules', '.capfs-setup.json')

/** Identifies what an installation is made from: the lockfile and the platform. */
const fingerprint = () =>
  createHash('sha256')
    .update(readFileSync(path('package-lock.json')))
    .update(`${process.platform} ${process.arch} ${process.versions.modules}`)
    .digest('hex')

function recorded() {
  if (!existsSync(stamp)) return { scope: [], current: false }
  const { of, scope } = JSON.parse(readFileSync(stamp, 'utf8'))
  return { scope, current: of === fingerprint() }
}

/**
 * Installs the packages of the named workspaces as the lockfile says.
 *
 * @param {string[]} workspaces of those in package.json; the ones that aren't in this checkout are left out
 */
export async function installNpmPackages(workspaces) {
  const wanted = workspaces.filter((name) => existsSync(path(name, 'package.json')))
  if (wanted.length === 0) return
  const { scope, current } = recorded()
  if (current && wanted.every((name) => scope.includes(name))) return
  if (!existsSync(path('package-lock.json'))) {
    throw new Problem('package-lock.json is missing', { hint: 'run `npm install` once and commit it' })
  }
  // What was installed for another purpose stays, also where the lockfile has changed.
  const installed = scope.filter((name) => existsSync(path(name, 'package.json')))
  const all = [...new Set([...installed, ...wanted])].sort()
  await step(`Install npm packages (${all.join(', ')})`, (report) =>
    run(
      ['npm', 'ci', '--prefer-offline', '--no-audit', '--no-fund', '--include-workspace-root',
        ...all.map((name) => `--workspace=${name}`)],
      { report, hint: 'if package.json and package-lock.json disagree, run `npm install` and commit the lockfile' },
    ),
  )
  mkdirSync(path('node_modules'), { recursive: true })
  writeFileSync(stamp, `${JSON.stringify({ of: fingerprint(), scope: all })}\n`)
}

/** The workspaces that package.json names and that are in this checkout. */
export const workspaces = () =>
  JSON.parse(readFileSync(path('package.json'), 'utf8')).workspaces.filter((name) => existsSync(path(name, 'package.json')))
