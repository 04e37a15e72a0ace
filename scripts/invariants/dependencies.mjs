// docs/dependencies.md against the manifests: every direct dependency has a row with its version, its
// licence and a reason; and no dependency, direct or not, has a licence that asks for more than a notice.

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { run } from '../command.mjs'
import { path } from '../project.mjs'
import { allowed, excepted } from './licences.mjs'

const DOCUMENT = path('docs', 'dependencies.md')

/** Between these lines the document's table is written by `npm run lint -- --write`, its reasons kept. */
const BEGIN = '<!-- table: npm run lint -- --write -->'
const END = '<!-- end of table -->'

/** The platforms whose dependencies count: those that the project is built for. */
const PLATFORMS = ['x86_64-unknown-linux-gnu', 'wasm32-unknown-unknown', 'wasm32-wasip1']

/** @typedef {{name: string, version: string, licence: string, source: 'crates.io' | 'npm'}} Dependency */

/** Every tracked file of that name. */
const tracked = async (name) => (await run(['git', 'ls-files', '-z', name, `**/${name}`])).split('\0').filter(Boolean)

/** @returns {Promise<{direct: Dependency[], all: Dependency[]}>} of every cargo workspace */
async function crates() {
  const direct = new Map()
  const all = new Map()
  for (const lockfile of await tracked('Cargo.lock')) {
    const metadata = JSON.parse(
      await run(['cargo', 'metadata', '--format-version', '1', '--locked', '--quiet', ...PLATFORMS.flatMap((name) => ['--filter-platform', name])], {
        cwd: path(dirname(lockfile)),
        // What only the suite under loom is built with is looked at as well.
        env: { RUSTFLAGS: '--cfg loom' },
      }),
    )
    const packages = new Map(metadata.packages.map((crate) => [crate.id, crate]))
    const own = new Set(metadata.workspace_members)
    const entry = (crate) => ({ name: crate.name, version: crate.version, licence: crate.license ?? '', source: 'crates.io' })
    for (const crate of metadata.packages) {
      // What has no source is a path dependency: the project's own.
      if (crate.source) all.set(crate.id, entry(crate))
    }
    for (const node of metadata.resolve.nodes.filter(({ id }) => own.has(id))) {
      for (const { pkg } of node.deps) {
        const crate = packages.get(pkg)
        if (crate.source) direct.set(crate.name, entry(crate))
      }
    }
  }
  return { direct: [...direct.values()], all: [...all.values()] }
}

/** @returns {Promise<{direct: Dependency[], all: Dependency[]}>} of every npm lockfile */
async function npmPackages() {
  const direct = new Map()
  const all = new Map()
  for (const file of await tracked('package-lock.json')) {
    const { packages } = JSON.parse(readFileSync(path(file), 'utf8'))
    const named = (at) => at.slice(at.lastIndexOf('node_modules/') + 'node_modules/'.length)
    const entry = (at) => ({ name: named(at), version: packages[at].version, licence: packages[at].license ?? '', source: 'npm' })
    for (const [at, details] of Object.entries(packages)) {
      if (at.includes('node_modules/')) {
        if (!details.link) all.set(at, entry(at))
        continue
      }
      const wanted = Object.keys({ ...details.dependencies, ...details.devDependencies, ...details.optionalDependencies })
      for (const name of wanted) {
        const found = [`${at}/node_modules/${name}`, `node_modules/${name}`].find((place) => packages[place] && !packages[place].link)
        if (found) direct.set(name, entry(found))
      }
    }
  }
  return { direct: [...direct.values()], all: [...all.values()] }
}

/** The rows of the document's table by `source name`. */
function rows() {
  if (!existsSync(DOCUMENT)) return new Map()
  const found = new Map()
  for (const line of readFileSync(DOCUMENT, 'utf8').split('\n')) {
    const cells = line.split('|').slice(1, -1).map((cell) => cell.trim())
    const name = /^`(.+)`$/.exec(cells[0] ?? '')?.[1]
    if (name && cells.length === 5) {
      const [, source, version, licence, reason] = cells
      found.set(`${source} ${name}`, { name, source, version, licence, reason })
    }
  }
  return found
}

const sorted = (dependencies) =>
  [...dependencies].sort((a, b) => a.source.localeCompare(b.source) || a.name.localeCompare(b.name))

/** @param {(invariant: string, violations: string[]) => void} report */
export async function checkDependencies(report) {
  const [cargo, npm] = await Promise.all([crates(), npmPackages()])
  const documented = rows()
  const wrong = []
  for (const { name, version, licence, source } of sorted([...cargo.direct, ...npm.direct])) {
    const row = documented.get(`${source} ${name}`)
    if (!row) wrong.push(`${name} ${version} (${source}, ${licence}) is not in docs/dependencies.md`)
    else if (row.version !== version || row.licence !== licence) wrong.push(`${name} is ${version}, ${licence}, and docs/dependencies.md says ${row.version}, ${row.licence}`)
    else if (!row.reason) wrong.push(`${name} has no reason in docs/dependencies.md`)
    documented.delete(`${source} ${name}`)
  }
  for (const { name } of documented.values()) wrong.push(`${name} is in docs/dependencies.md, and nothing depends on it`)
  report('docs/dependencies.md has every direct dependency, with a reason (npm run lint -- --write)', wrong)

  const refused = [...cargo.all, ...npm.all]
    .filter(({ name, licence }) => !allowed(licence) && !excepted(name, licence))
    .map(({ name, version, licence, source }) => `${name} ${version} (${source}): ${licence || 'no licence'}`)
  report(`the licences of all ${cargo.all.length + npm.all.length} dependencies are permissive`, [...new Set(refused)].sort())
}

/** Writes the table anew: what the manifests say, with the reasons that are there. */
export async function writeDependencies() {
  const [cargo, npm] = await Promise.all([crates(), npmPackages()])
  const documented = rows()
  const table = [
    '| name | from | version | licence | reason |',
    '|---|---|---|---|---|',
    ...sorted([...cargo.direct, ...npm.direct]).map(
      ({ name, version, licence, source }) => `| \`${name}\` | ${source} | ${version} | ${licence} | ${documented.get(`${source} ${name}`)?.reason ?? ''} |`,
    ),
  ].join('\n')
  const text = readFileSync(DOCUMENT, 'utf8')
  writeFileSync(DOCUMENT, text.replace(text.slice(text.indexOf(BEGIN), text.indexOf(END)), () => `${BEGIN}\n${table}\n`))
}
