// Puts what a worker loads into one file: one that fetches ten modules which import each other starts three times as
// slowly. The glue of the larger kernel stays a file of its own, for those who use it.
//
// Runs after the compiler, on its output in `dist/`. The names in the code stay, for stack traces and reports.

import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const worker = fileURLToPath(new URL('dist/worker.js', import.meta.url))

await build({
  entryPoints: [worker],
  outfile: worker,
  allowOverwrite: true,
  bundle: true,
  external: ['./kernel-full.js'],
  format: 'esm',
  target: 'es2022',
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: 'none',
  logLevel: 'warning',
})
