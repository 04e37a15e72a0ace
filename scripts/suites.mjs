// What `npm test` runs, in this order. A new suite is one more line here.
//
// `count` says how a suite's tests are counted:
//   summary   its output has a line `N passed, N failed`; the last one counts
//   cargo     the sum of cargo's `test result:` lines
//   tap       the last lines of node's test runner with its tap reporter
//   check     the command is one test, passed when it exits with 0
//
// `minutes` is when a suite that hangs is ended; it is no aim. `cwd` is relative to the root.

import { agentsTarget, loomTarget } from './project.mjs'

const node = (...args) => [process.execPath, ...args]
const cargo = (...args) => ['cargo', ...args, '--locked']

/**
 * @type {{name: string, about: string, command: string[], count: 'summary' | 'cargo' | 'tap' | 'check',
 *   minutes: number, cwd?: string, env?: Record<string, string>}[]}
 */
export const SUITES = [
  // First what is quick to say no.
  { name: 'invariants', about: 'crate graph, dependencies, licences, advisories, tracked files', command: node('scripts/lint.mjs'), count: 'summary', minutes: 5 },
  { name: 'scripts', about: 'the set-up scripts themselves', command: node('--test', '--test-reporter=tap', 'scripts/tests/'), count: 'tap', minutes: 5 },
  { name: 'format', about: 'rustfmt, workspace', command: ['cargo', 'fmt', '--all', '--check'], count: 'check', minutes: 2 },
  { name: 'format-agents', about: 'rustfmt, sample agents', command: ['cargo', 'fmt', '--all', '--check'], cwd: 'agents', count: 'check', minutes: 2 },

  // In release: the build has the build scripts and macros of that profile already.
  { name: 'clippy', about: 'workspace, natively', command: [...cargo('clippy', '--release', '--workspace', '--all-targets'), '--', '-D', 'warnings'], count: 'check', minutes: 15 },
  { name: 'clippy-wasm', about: 'the kernel, for the target it is for', command: [...cargo('clippy', '--profile', 'kernel', '--package', 'capfs-worker-shim', '--target', 'wasm32-unknown-unknown'), '--', '-D', 'warnings'], count: 'check', minutes: 5 },
  { name: 'clippy-wasm-small', about: 'the kernel without the capabilities that need the web platform', command: [...cargo('clippy', '--profile', 'kernel', '--package', 'capfs-worker-shim', '--no-default-features', '--target', 'wasm32-unknown-unknown'), '--', '-D', 'warnings'], count: 'check', minutes: 5 },
  { name: 'clippy-agents', about: 'sample agents', command: [...cargo('clippy', '--release', '--target', 'wasm32-wasip1'), '--', '-D', 'warnings'], cwd: 'agents', env: { CARGO_TARGET_DIR: agentsTarget }, count: 'check', minutes: 5 },
  { name: 'rustdoc', about: 'no broken link in the documentation', command: cargo('doc', '--no-deps', '--package', 'capfs', '--package', 'capfs-storage', '--package', 'capfs-remote', '--package', 'capfs-runtime'), env: { RUSTDOCFLAGS: '-D warnings' }, count: 'check', minutes: 10 },

  { name: 'capfs', about: 'names, namespace, devices; model-based fuzzing', command: cargo('test', '--package', 'capfs'), count: 'cargo', minutes: 15 },
  // Under loom, which takes the place of mutexes and atomics, so everything is built once more. At most three switches
  // between threads that nothing asked for: what goes wrong goes wrong with fewer, and the number of orders is bounded.
  { name: 'loom', about: 'wakers and gates, under every order of threads', command: cargo('test', '--release', '--package', 'capfs', '--lib', 'loom_tests'), env: { RUSTFLAGS: '--cfg loom', CARGO_TARGET_DIR: loomTarget, LOOM_MAX_PREEMPTIONS: '3' }, count: 'cargo', minutes: 10 },
  { name: 'storage', about: 'stored files on a host that goes down, is full, is damaged', command: cargo('test', '--package', 'capfs-storage'), count: 'cargo', minutes: 10 },
  { name: 'devices', about: 'the capabilities, and what they do on this system', command: cargo('test', '--package', 'capfs-devices', '--package', 'capfs-native-devices'), count: 'cargo', minutes: 15 },
  { name: 'runtime', about: 'WASI calls over a namespace; hostile guests', command: cargo('test', '--package', 'capfs-runtime'), count: 'cargo', minutes: 15 },
  { name: 'modules', about: 'verdicts about modules, and their translation', command: cargo('test', '--package', 'capfs-modules', '--all-features'), count: 'cargo', minutes: 10 },
  { name: 'remote', about: 'trees that are elsewhere: wire, client and server, over transports in memory', command: cargo('test', '--package', 'capfs-remote'), count: 'cargo', minutes: 10 },
  { name: 'capfs-build', about: 'stub, adapters and their signatures', command: cargo('test', '--release', '--package', 'capfs-build'), count: 'cargo', minutes: 10 },
  { name: 'capfs-host', about: 'the command, against real modules', command: cargo('test', '--release', '--package', 'capfs-host'), count: 'cargo', minutes: 20 },

  { name: 'fuzz', about: 'readers of what strangers write, fed with what is nearly well-formed', command: cargo('test', '--release', '--package', 'capfs-fuzz'), count: 'cargo', minutes: 10 },

  { name: 'agents', about: 'parts of the sample agents, here', command: cargo('test'), cwd: 'agents', env: { CARGO_TARGET_DIR: agentsTarget }, count: 'cargo', minutes: 10 },

  { name: 'package-node', about: 'the npm package in Node: starts, ends, limits, streams, files', command: node('web/test/node.mjs'), count: 'summary', minutes: 5 },
  { name: 'package-chromium', about: 'the same in Chromium, in every variant', command: node('web/test/browser.mjs'), count: 'summary', minutes: 10 },
  { name: 'package-firefox', about: 'the same in Firefox', command: node('web/test/firefox.mjs'), count: 'summary', minutes: 10 },
  { name: 'package-webkit', about: 'the same in WebKitGTK', command: node('web/test/webkit.mjs'), count: 'summary', minutes: 10 },
  { name: 'endurance-node', about: 'a thousand agents, aborted starts, workers that fail; memory and workers counted; scripts that end', command: node('web/test/endurance.mjs'), count: 'summary', minutes: 5 },
  { name: 'endurance-chromium', about: 'the same in Chromium, and no memory left', command: node('web/test/endurance.mjs', '--host', 'chromium'), count: 'summary', minutes: 10 },
  { name: 'endurance-firefox', about: 'the same in Firefox', command: node('web/test/endurance.mjs', '--host', 'firefox'), count: 'summary', minutes: 10 },
  { name: 'dom-chromium', about: 'what agents can and can\'t do with their part of a page', command: node('web/test/dom.mjs'), count: 'summary', minutes: 5 },
  { name: 'dom-firefox', about: 'the same in Firefox', command: node('web/test/dom.mjs', '--browser', 'firefox'), count: 'summary', minutes: 5 },
  { name: 'dom-webkit', about: 'the same in WebKitGTK', command: node('web/test/dom.mjs', '--browser', 'webkit'), count: 'summary', minutes: 5 },
  { name: 'delivery-chromium', about: 'the package under policies and from another origin', command: node('web/test/delivery.mjs'), count: 'summary', minutes: 5 },
  { name: 'delivery-firefox', about: 'the same in Firefox', command: node('web/test/delivery.mjs', '--browser', 'firefox'), count: 'summary', minutes: 5 },
  { name: 'stored-chromium', about: 'stored files in Chromium: kills, two tabs, full disks', command: node('web/test/opfs.mjs'), count: 'summary', minutes: 10 },
  { name: 'stored-firefox', about: 'stored files in Firefox', command: node('web/test/opfs.mjs', '--browser', 'firefox'), count: 'summary', minutes: 10 },
  { name: 'conformance', about: 'every guest on every host in every variant', command: node('tests/run.mjs', '--host', 'native,node,chromium,firefox,webkit'), count: 'summary', minutes: 25 },
  { name: 'odd-modules', about: 'odd modules, and the same verdict about each on every host', command: node('tests/odd/odd.test.mjs', '--host', 'native,node,chromium,firefox,webkit'), count: 'summary', minutes: 10 },
  { name: 'exceptions', about: 'the older exception instructions, natively as in this Node', command: node('tests/exceptions/agree.test.mjs'), count: 'summary', minutes: 5 },
  { name: 'conformance-stored', about: 'the guests that write files, on stored files in browsers', command: node('tests/run.mjs', '--stored', '--host', 'chromium,firefox'), count: 'summary', minutes: 10 },
  { name: 'conformance-shared', about: 'the guests that have files, on a tree that answers later', command: node('tests/run.mjs', '--shared', '--host', 'node'), count: 'summary', minutes: 10 },
  { name: 'account', about: 'agents that try to hold ten times what they may, measured from outside', command: node('tests/account.test.mjs', '--host', 'native,node,chromium'), count: 'summary', minutes: 15 },
  { name: 'programs', about: 'Python, QuickJS, SQLite and clang, unmodified', command: node('tests/run.mjs', '--programs', '--host', 'native,node,chromium'), count: 'summary', minutes: 15 },
  { name: 'manifests', about: 'the manifests of the sample agents', command: node('tests/manifests.test.mjs'), count: 'summary', minutes: 2 },
  { name: 'nostr', about: 'the Nostr client between hosts, over a real relay', command: node('tests/nostr.test.mjs'), count: 'summary', minutes: 5 },
  { name: 'line-discipline', about: "the page's terminal, in Node", command: node('tests/page/line-discipline.test.mjs'), count: 'summary', minutes: 2 },
  { name: 'page', about: 'the demo page, in Chromium', command: node('tests/page/page.test.mjs'), count: 'summary', minutes: 10 },
  { name: 'page-firefox', about: 'the demo page, in Firefox', command: node('tests/page/firefox.test.mjs'), count: 'summary', minutes: 5 },
  { name: 'benchmarks', about: 'every measurement in Chromium can be made', command: node('bench/run.mjs', '--only', 'chromium,capabilities', '--smoke'), count: 'summary', minutes: 5 },
  { name: 'packaging', about: 'the npm package in sample consumers; size budget', command: node('tests/packaging/packaging.test.mjs'), count: 'summary', minutes: 10 },
]
