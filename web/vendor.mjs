// Puts what the package brings of other packages into `dist/`, so that a page without a bundler finds it.

import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

const require = createRequire(import.meta.url)
const source = join(dirname(require.resolve('dompurify')), 'purify.es.mjs')
const text = readFileSync(source, 'utf8').replace(/\/\/# sourceMappingURL=.*\s*$/, '')
writeFileSync(new URL('./dist/dompurify.js', import.meta.url), text)
