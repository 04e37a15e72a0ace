// Puts what a page loads into one file, and what a worker loads into another: modules that import each other are fetched
// one after another, and with them a page starts three times as slowly.
//
// Runs after the compiler, on its output in `dist/`. The names in the code stay, for stack traces and reports. What only
// some pages need stays a file of its own, and so does what such a file shares with the rest.

import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

/** Each with what it loads from files of their own. */
const BUNDLES = {
  // The page has time for its kernel's glue: it comes while the kernel does.
  'index.js': ['./errors.js', './dom.js', './kernel.js', './kernel-full.js'],
  'worker.js': ['./kernel-full.js'],
}

for (const [name, external] of Object.entries(BUNDLES)) {
  const file = fileURLToPath(new URL(`dist/${name}`, import.meta.url))
  await build({
    entryPoints: [file],
    outfile: file,
    allowOverwrite: true,
    bundle: true,
    external,
    format: 'esm',
    target: 'es2022',
    minifySyntax: true,
    minifyWhitespace: true,
    legalComments: 'none',
    logLevel: 'warning',
  })
}
