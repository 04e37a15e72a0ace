// Puts what a page loads into one file, and what a worker loads into another: modules that import each other are fetched
// one after another, and with them a page starts three times as slowly.
//
// Runs after the compiler, on its output in `dist/`. The names in the code stay, but for those of generated code, for stack traces and reports. What only
// some pages need stays a file of its own, and so does what such a file shares with the rest.

import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

/**
 * Each with what it loads from files of their own. There is a script of a worker for each kernel, and nothing beside it: a bundler that takes
 * it for a file, and a page of another origin, need no other. The first of them is made of the compiler's output, before that is replaced.
 */
const BUNDLES = [
  // The glue is generated: half of it is comments, and its names say nothing.
  { from: 'kernel.js', to: 'kernel.js', generated: true },
  { from: 'kernel-full.js', to: 'kernel-full.js', generated: true },
  // What all of the others share, so that an error is of one class for them.
  { from: 'both/errors.js', to: 'both/errors.js' },
  // The page has time for its kernel's glue: it comes while the kernel does.
  { from: 'index.js', to: 'index.js', external: ['both/errors.js', 'page/dom/part.js', 'kernel.js', 'kernel-full.js'] },
  { from: 'worker.js', to: 'worker-full.js', external: ['kernel.js'] },
  { from: 'worker.js', to: 'worker.js', external: ['kernel-full.js'] },
]

const dist = (name) => fileURLToPath(new URL(`dist/${name}`, import.meta.url))
for (const { from, to, external = [], generated = false } of BUNDLES) {
  await build({
    entryPoints: [dist(from)],
    outfile: dist(to),
    allowOverwrite: true,
    bundle: true,
    external: external.map(dist),
    format: 'esm',
    target: 'es2022',
    minifySyntax: true,
    minifyWhitespace: true,
    legalComments: 'none',
    minifyIdentifiers: true,
    sourcemap: generated ? false : 'linked',
    logLevel: 'warning',
  })
}
