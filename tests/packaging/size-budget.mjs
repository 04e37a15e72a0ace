// The size of what a page loads of the package.

import { readFile } from 'node:fs/promises'
import { relative } from 'node:path'
import { gzipSync } from 'node:zlib'

/** Bytes after gzip that a page may load: JavaScript, kernel, stub and adapter together. The package's README names both. */
export const BUDGET = 355_000
/** The same with `capabilities: true`. */
export const BUDGET_FULL = 665_000

/** Prints a table of files with their size as it is and after gzip, and answers the sum of the latter, which is held to a budget elsewhere. */
export async function printSizes(files, folder, budget) {
  const rows = []
  for (const file of files) {
    const data = await readFile(file)
    rows.push({ name: relative(folder, file), raw: data.length, gzip: gzipSync(data, { level: 9 }).length })
  }
  rows.sort((a, b) => b.gzip - a.gzip)
  const total = (key) => rows.reduce((sum, row) => sum + row[key], 0)
  const line = (name, raw, gzip) => console.log(`  ${name.padEnd(44)}${String(raw).padStart(10)}${String(gzip).padStart(10)}`)
  line('file', 'bytes', 'gzip')
  for (const { name, raw, gzip } of rows) line(name, raw, gzip)
  line(`total, of ${budget}`, total('raw'), total('gzip'))
  return total('gzip')
}
