// The standard library for the WebAssembly targets, built from source: the way for machines that
// reach a Debian archive but not Rust's download server.
//
// Debian carries the library's source (`rust-src`, with its dependencies vendored inside) and a C
// library for WASI (`wasi-libc`). Both are fetched and unpacked below .cache, nothing is installed
// with apt. cargo builds the library with a throw-away crate, and the result goes where rustup
// would have put it.

import {
  copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ask, run } from '../command.mjs'
import { Problem, step } from '../progress.mjs'
import { cache } from '../project.mjs'
import { rustVersion } from './toolchain.mjs'

/**
 * Debian suites to look for the source in, after those that the machine itself is configured for.
 * The package is architecture `all` and is only unpacked, so its suite need not be the machine's.
 */
const SUITES = ['bookworm-backports', 'trixie', 'trixie-backports', 'forky', 'forky-backports', 'sid']

const BY_HAND =
  'give rustup a way to its download server and run `rustup target add wasm32-unknown-unknown wasm32-wasip1`'

/** The crate that makes cargo build the standard library. */
const CRATE = 'throwaway'

/**
 * @param {string} sysroot of the compiler that the library is for
 * @param {string[]} targets
 */
export async function buildFromSource(sysroot, targets) {
  const work = mkdtempSync(join(tmpdir(), 'capfs-wasm-std-'))
  const library = join(sysroot, 'lib', 'rustlib', 'src', 'rust', 'library')
  const ours = !existsSync(join(library, 'Cargo.lock'))
  try {
    if (ours) {
      const source = await step("Fetch the standard library's source", (report) => fetchSource(report))
      rmSync(library, { recursive: true, force: true })
      mkdirSync(join(library, '..'), { recursive: true })
      symlinkSync(source, library)
    }
    for (const target of targets) {
      await step(`Build the standard library for ${target} (a minute or two)`, (report) =>
        buildTarget(work, sysroot, target, report),
      )
    }
  } finally {
    // Only what was put there: rustup's own rust-src stays, and can be installed later.
    if (ours) rmSync(library, { force: true })
    rmSync(work, { recursive: true, force: true })
  }
}

/** Builds the library for one target and copies it into the sysroot. */
async function buildTarget(work, sysroot, target, report) {
  const crate = join(work, CRATE)
  mkdirSync(join(crate, 'src'), { recursive: true })
  writeFileSync(join(crate, 'Cargo.toml'), `[package]\nname = "${CRATE}"\nedition = "2021"\n\n[workspace]\n`)
  writeFileSync(join(crate, 'src', 'main.rs'), 'fn main() {}\n')

  const wasi = target.includes('wasi') ? await fetchWasiLibc(report) : undefined
  // Without the bitcode in it, what is built with the library could not be optimised across crates.
  const flags = ['-C embed-bitcode=yes']
  if (wasi) flags.push(`-L native=${wasi} -C link-self-contained=no -C link-arg=${wasi}/crt1-command.o -C link-arg=-L${wasi}`)
  const output = join(work, 'target')
  await run(['cargo', 'build', '--release', '-Zbuild-std=std,panic_abort,panic_unwind', '--target', target], {
    cwd: crate,
    // -Zbuild-std is the nightly compiler's; RUSTC_BOOTSTRAP lets the stable one have it.
    env: { RUSTC_BOOTSTRAP: '1', RUSTFLAGS: flags.join(' '), CARGO_TARGET_DIR: output },
    report,
  })

  const home = join(sysroot, 'lib', 'rustlib', target, 'lib')
  mkdirSync(home, { recursive: true })
  if (wasi) {
    mkdirSync(join(home, 'self-contained'), { recursive: true })
    for (const name of ['crt1-command.o', 'crt1-reactor.o', 'libc.a']) {
      copyFileSync(join(wasi, name), join(home, 'self-contained', name))
    }
  }
  const built = join(output, target, 'release', 'deps')
  const libraries = readdirSync(built).filter((name) => name.endsWith('.rlib') && !name.startsWith(`lib${CRATE}`))
  // libstd is what tells that a target is installed, so it goes last.
  libraries.sort((a, b) => Number(a.startsWith('libstd-')) - Number(b.startsWith('libstd-')))
  for (const name of libraries) copyFileSync(join(built, name), join(home, name))
}

/** The folder `library` of Rust's source, of exactly the version of the compiler. */
async function fetchSource(report) {
  const version = rustVersion()
  const unpacked = join(cache, `rust-src-${version}`)
  const inside = join('usr', 'src', `rustc-${version}`, 'library')
  const library = join(unpacked, inside)
  if (existsSync(join(library, 'Cargo.lock'))) return library
  rmSync(unpacked, { recursive: true, force: true })
  const exact = (candidate) => candidate.replace(/^\d+:/, '').split(/[+~-]/)[0] === version
  await fetchPackage('rust-src', exact, inside, unpacked, report)
  return library
}

/** The folder with WASI's C library: the installed one, or else one unpacked below .cache. */
async function fetchWasiLibc(report) {
  const inside = join('usr', 'lib', 'wasm32-wasi')
  if (existsSync(join('/', inside, 'libc.a'))) return join('/', inside)
  const unpacked = join(cache, 'wasi-libc')
  if (!existsSync(join(unpacked, inside, 'libc.a'))) {
    rmSync(unpacked, { recursive: true, force: true })
    await fetchPackage('wasi-libc', () => true, inside, unpacked, report)
  }
  return join(unpacked, inside)
}

/**
 * Downloads a Debian package whose version is `wanted` and unpacks what it has `inside`. apt runs with
 * lists and sources of its own, so that it needs no root and leaves the machine's as they are.
 */
async function fetchPackage(name, wanted, inside, folder, report) {
  const archive = debianArchive()
  const apt = join(cache, 'apt')
  mkdirSync(join(apt, 'lists', 'partial'), { recursive: true })
  mkdirSync(join(apt, 'archives', 'partial'), { recursive: true })
  writeFileSync(join(apt, 'none'), '')

  for (const suite of [...new Set([...archive.suites, ...SUITES])]) {
    const sources = join(apt, `${suite}.list`)
    writeFileSync(sources, `deb [signed-by=${archive.keyring}] ${archive.address} ${suite} main\n`)
    const options = Object.entries({
      'Dir::Etc::SourceList': sources,
      'Dir::Etc::SourceParts': '/dev/null',
      'Dir::State::Lists': join(apt, 'lists'),
      'Dir::Cache': apt,
      'Dir::State::Status': join(apt, 'none'),
      'APT::Sandbox::User': 'root',
      'Acquire::Languages': 'none',
    }).flatMap(([key, value]) => ['-o', `${key}=${value}`])
    report(`looking for ${name} in ${suite}`)
    try {
      await run(['apt-get', ...options, 'update'], { report })
    } catch (error) {
      // The archive has no such suite (any more): the next one may have it.
      if (error instanceof Problem) continue
      throw error
    }
    const offered = (ask(['apt-cache', ...options, 'madison', name]) ?? '')
      .split('\n')
      .map((line) => line.split('|')[1]?.trim())
      .filter(Boolean)
    const version = offered.find(wanted)
    if (!version) continue
    const download = mkdtempSync(join(apt, 'download-'))
    try {
      await run(['apt-get', ...options, 'download', `${name}=${version}`], { cwd: download, report })
      const deb = readdirSync(download).find((file) => file.endsWith('.deb'))
      const fresh = `${folder}.partial`
      rmSync(fresh, { recursive: true, force: true })
      mkdirSync(fresh, { recursive: true })
      // Of the compiler's source only the library is wanted, a fifth of it.
      const unpack = 'dpkg-deb --fsys-tarfile "$1" | tar --extract --directory "$2" "$3"'
      await run(['bash', '-o', 'pipefail', '-c', unpack, 'unpack', join(download, deb), fresh, `./${inside}`], { report })
      // Whole or not at all: a run that is interrupted leaves no half of a package.
      renameSync(fresh, folder)
      return
    } finally {
      rmSync(download, { recursive: true, force: true })
    }
  }
  throw new Problem(`no Debian suite that was looked at has the ${name} that is needed`, { hint: BY_HAND })
}

/** The Debian archive that this machine is configured for. */
function debianArchive() {
  const lines = ask(['apt-get', 'indextargets', '--format', '$(REPO_URI) $(CODENAME) $(COMPONENT)', 'Created-By: Packages'])
  const entries = (lines ?? '').split('\n').map((line) => line.split(' '))
  const debian = entries.filter(([address, , component]) => /\/debian\/?$/.test(address) && component === 'main')
  if (debian.length === 0) {
    throw new Problem("rustup can't add the WebAssembly targets, and this machine has no Debian archive to build them from", {
      hint: BY_HAND,
    })
  }
  const keyring = ['/usr/share/keyrings/debian-archive-keyring.gpg', '/usr/share/keyrings/debian-archive-keyring.pgp'].find(
    (file) => existsSync(file),
  )
  if (!keyring) throw new Problem('the keyring of the Debian archive is missing', { hint: 'apt-get install debian-archive-keyring' })
  const address = debian[0][0]
  return { address, keyring, suites: debian.filter((entry) => entry[0] === address).map((entry) => entry[1]) }
}
