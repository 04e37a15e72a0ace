import assert from 'node:assert/strict'
import { test } from 'node:test'
import { allowed } from '../invariants/licences.mjs'

for (const expression of [
  'MIT', 'MIT OR Apache-2.0', 'MIT/Apache-2.0', 'Apache-2.0 WITH LLVM-exception', 'GPL-3.0 OR MIT',
  '(MIT OR Apache-2.0) AND Unicode-3.0', 'Unlicense OR MIT', 'Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT',
]) {
  test(`${expression} will do`, () => assert.equal(allowed(expression), true))
}

for (const expression of ['GPL-3.0', 'MIT AND GPL-3.0', '(MIT OR Apache-2.0) AND MPL-2.0', 'Apache-2.0 WITH Nonsense', '', 'MIT MIT']) {
  test(`${expression || 'no licence'} won't`, () => assert.equal(allowed(expression), false))
}
