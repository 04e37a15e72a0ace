// What the standard libraries' test programs print, read as tests.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { results as go } from '../../tests/stdlib/go.mjs'
import { results as zig } from '../../tests/stdlib/zig.mjs'

test('of Go, the innermost tests count, and one that fails by itself', () => {
  const text = [
    '=== RUN   TestWhole', '    file.go:3: said', '--- PASS: TestWhole (0.00s)',
    '--- FAIL: TestParts (0.01s)', '    --- PASS: TestParts/one (0.00s)', '    --- FAIL: TestParts/two (0.00s)',
    '        --- FAIL: TestParts/two/deep (0.00s)', '--- FAIL: TestItself (0.00s)', '    --- PASS: TestItself/part (0.00s)',
    'printed without an end--- SKIP: TestLeft (0.00s)', 'FAIL', '',
  ].join('\n')
  assert.deepEqual(Object.fromEntries(go(text)), {
    TestWhole: 'PASS', 'TestParts/one': 'PASS', 'TestParts/two/deep': 'FAIL', TestItself: 'FAIL', 'TestItself/part': 'PASS', TestLeft: 'SKIP',
  })
})

test('of Zig, a test ends where the next begins, whatever it prints', () => {
  const text = [
    '1/5 fs.test.one...OK', '2/5 fs.test.prints...words', 'of its own', 'OK', '3/5 fs.test.left...SKIP', '4/5 fs.test.fails...FAIL (TestUnexpectedResult)',
    'Cannot print stack trace: debug info unavailable for target', '', '5/5 fs.test.panics...panic: integer overflow', '',
  ].join('\n')
  assert.deepEqual(Object.fromEntries(zig(text)), {
    'fs.test.one': 'PASS', 'fs.test.prints': 'PASS', 'fs.test.left': 'SKIP', 'fs.test.fails': 'FAIL', 'fs.test.panics': 'FAIL',
  })
  assert.equal(zig(`${text.split('\n').slice(0, 4).join('\n')}\n2 passed; 0 skipped; 0 failed.\n`).get('fs.test.prints'), 'PASS')
})
