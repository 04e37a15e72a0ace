// What the tests need of the system: browsers to run in, and a C compiler for WASI.

import { existsSync } from 'node:fs'
import { ask, onPath, run } from '../command.mjs'
import { Problem, say, step, yellow } from '../progress.mjs'

/**
 * What is needed, how to tell that it is there, and the Debian package that brings it.
 *
 * @type {{what: string, packages: string[], there: () => boolean}[]}
 */
const NEEDS = [
  { what: 'Chromium', packages: ['chromium'], there: () => onPath('chromium') },
  { what: 'Firefox', packages: ['firefox-esr'], there: () => onPath('firefox-esr') || onPath('firefox') },
  { what: 'WebKitGTK with its WebDriver', packages: ['webkit2gtk-driver'], there: () => onPath('WebKitWebDriver') },
  { what: 'a virtual X server', packages: ['xvfb', 'xauth'], there: () => onPath('Xvfb') },
  { what: 'clang and wasm-ld', packages: ['clang', 'lld'], there: () => onPath('clang') && onPath('wasm-ld') },
  { what: 'a C library for WASI', packages: ['wasi-libc'], there: () => existsSync('/usr/lib/wasm32-wasi/libc.a') },
  {
    what: "clang's runtime library for WebAssembly",
    packages: ['libclang-rt-dev-wasm32'],
    there: () => {
      const resources = ask(['clang', '--print-resource-dir'])
      return resources !== undefined && existsSync(`${resources}/lib/wasi/libclang_rt.builtins-wasm32.a`)
    },
  },
]

/** Debian 12 has the runtime library under its version's name alone. */
const ALTERNATIVES = { 'libclang-rt-dev-wasm32': ['libclang-rt-14-dev-wasm32'] }

/**
 * Installs what the tests lack, as root on a Debian-like system, and names it anywhere else.
 *
 * @throws {Problem} when something is missing that can't be installed from here
 */
export async function addSystemPackages() {
  const missing = NEEDS.filter(({ there }) => !there())
  if (missing.length === 0) return
  const packages = missing.flatMap((need) => need.packages)
  const names = missing.map(({ what }) => what).join(', ')

  if (process.getuid?.() !== 0 || !onPath('apt-get')) {
    throw new Problem(`the tests need ${names}`, {
      hint: onPath('apt-get')
        ? `run as root: apt-get install --no-install-recommends ${packages.map(installable).join(' ')}`
        : `install what Debian calls ${packages.join(' ')}`,
    })
  }
  const env = { DEBIAN_FRONTEND: 'noninteractive' }
  await step(`Install with apt: ${packages.join(' ')}`, async (report) => {
    try {
      await run(['apt-get', 'update'], { report, env })
    } catch (error) {
      // The lists that are there may serve; if they don't, the installation says so.
      if (!(error instanceof Problem)) throw error
      say(yellow(`  ${error.message}`))
    }
    await run(['apt-get', 'install', '-y', '--no-install-recommends', ...packages.map(installable)], { report, env })
  })
  const still = NEEDS.filter(({ there }) => !there())
  if (still.length > 0) throw new Problem(`still missing after the installation: ${still.map(({ what }) => what).join(', ')}`)
}

/** The name under which this system's archive has a package. */
function installable(name) {
  const known = (candidate) => /Candidate: (?!\(none\))\S/.test(ask(['apt-cache', 'policy', candidate]) ?? '')
  return [name, ...(ALTERNATIVES[name] ?? [])].find(known) ?? name
}
