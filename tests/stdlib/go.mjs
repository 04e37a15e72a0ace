// The tests of Go's standard library, compiled for GOOS=wasip1.

import { mkdirSync, readFileSync, readdirSync } from 'node:fs'
import { join, relative } from 'node:path'
import { run } from '../../scripts/command.mjs'
import { compiler } from '../../scripts/setup/fetched-tools.mjs'

/** Packages that touch files, clocks and descriptors, or read through those, and what of Go's sources their tests look at besides their own. */
const PACKAGES = {
  'archive/tar': [],
  'archive/zip': [],
  bufio: [],
  'compress/gzip': [],
  'internal/poll': [],
  io: [],
  'io/fs': [],
  'io/ioutil': ['io'],
  // The network of preview 1 is Go's own, in the program's memory; listeners that the host opens are in tests/programs/on-demand.
  net: ['testdata'],
  os: [],
  'path/filepath': ['unicode'],
  syscall: [],
  time: [],
}

/**
 * Packages that are run a second time so that their tests make symbolic links. Go asks a host first for one with an absolute
 * target, in TMPDIR; where that is refused it leaves all such tests out. With a TMPDIR that is relative it finds a host that has links.
 */
const LINKED = ['io/fs', 'os', 'path/filepath']

/** The files below a folder of the host, as files of a memory mount below `at`. */
function files(folder, at) {
  const found = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  return Object.fromEntries(
    found.map((entry) => {
      const file = join(entry.parentPath ?? entry.path, entry.name)
      return [join(at, relative(folder, file)), readFileSync(file)]
    }),
  )
}

/** What a run printed, as tests: name -> `PASS`, `FAIL` or `SKIP`. A test with tests in it is not counted beside them. */
export function results(text) {
  const all = new Map([...text.matchAll(/--- (PASS|FAIL|SKIP): (\S+) \(/g)].map(([, end, name]) => [name, end]))
  const parents = new Set()
  for (const name of all.keys()) {
    for (let slash = name.indexOf('/'); slash >= 0; slash = name.indexOf('/', slash + 1)) parents.add(name.slice(0, slash))
  }
  // A test that fails though nothing in it does has failed by itself.
  const fails = (name) => all.get(name) === 'FAIL' && ![...all].some(([inner, end]) => end === 'FAIL' && inner.startsWith(`${name}/`))
  return new Map([...all].filter(([name]) => !parents.has(name) || fails(name)))
}

/**
 * Compiles the packages' tests.
 *
 * @param {{work: string, only: (name: string) => boolean, report: (line: string) => void}} options
 * @returns {Promise<{name: string, wanted: any, module: string}[]>} a case for each, in the form of tests/cases.mjs
 */
export async function compiled({ work, only, report }) {
  const root = await compiler('go')
  const names = [...Object.keys(PACKAGES), ...LINKED.map((name) => `${name} with links`)].filter(only)
  const cases = []
  mkdirSync(work, { recursive: true })
  for (const name of names) {
    const [source, links] = name.split(' with ')
    const module = join(work, `${source.replaceAll('/', '_')}.wasm`)
    report(source)
    await run([join(root, 'bin', 'go'), 'test', '-c', '-o', module, source], {
      // Offline, with nothing of the user's: the standard library alone.
      env: {
        GOROOT: root, GOOS: 'wasip1', GOARCH: 'wasm', GOCACHE: join(work, 'cache'), GOPATH: join(work, 'path'), GOENV: 'off', GOWORK: 'off',
        GOFLAGS: '-p=1', GOPROXY: 'off', GOTOOLCHAIN: 'local', GOTELEMETRY: 'off',
      },
      cwd: join(root, 'src'),
      report,
    })
    const home = `goroot/src/${source}`
    const up = source.split('/').map(() => '..').join('/')
    cases.push({
      name,
      module,
      wanted: {
        name: `go_${source.replaceAll('/', '_')}`,
        args: ['-test.short', '-test.v'],
        env: { PWD: `/${home}`, GOROOT: '/goroot', PATH: '/bin', GOTMPDIR: '/tmp', TMPDIR: links ? `${up}/../../tmp` : '/tmp' },
        mounts: {
          '/': {
            type: 'memory',
            files: {
              ...Object.assign({}, ...[source, ...PACKAGES[source]].map((name) => files(join(root, 'src', name), `goroot/src/${name}`))),
              ...files(join(root, 'lib', 'time'), 'goroot/lib/time'),
              // Files that a checkout of Go has, and that its tests look at.
              'goroot/go.env': readFileSync(join(root, 'go.env')),
              'goroot/LICENSE': 'a licence\n',
              'goroot/CONTRIBUTING.md': 'contributing\n',
              'etc/hosts': '127.0.0.1 localhost\n',
              'tmp/.keep': '',
            },
          },
          '/dev/null': { type: 'null' },
        },
        patience: 600_000,
      },
    })
  }
  return cases
}
