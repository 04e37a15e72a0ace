import assert from 'node:assert/strict'
import { test } from 'node:test'
import { counted, verdict } from '../count.mjs'

test('the last summary line counts', () => {
  const output = '3 passed, 1 failed\nmore\n5 passed, 0 failed\n'
  assert.deepEqual(counted('summary', output, 0), { passed: 5, failed: 0, skipped: 0 })
})

test('a coloured summary counts', () => {
  assert.deepEqual(counted('summary', '\x1b[32m7 passed, 2 failed\x1b[0m', 1), { passed: 7, failed: 2, skipped: 0 })
})

test("cargo's results are summed up", () => {
  const output = [
    'test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s',
    'test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s',
  ].join('\n')
  assert.deepEqual(counted('cargo', output, 101), { passed: 14, failed: 3, skipped: 1 })
})

test('a suite that ran nothing does not pass', () => {
  assert.equal(verdict(counted('cargo', 'test result: ok. 0 passed; 0 failed; 0 ignored; x', 0), 0), 'ran nothing')
  assert.equal(verdict(counted('summary', 'nothing to see', 0), 0), 'ran nothing')
})

test('a crash after the last summary does not pass', () => {
  assert.equal(verdict(counted('summary', '5 passed, 0 failed', 134), 134), 'exit code 134')
  assert.equal(verdict(counted('summary', '5 passed, 0 failed', null), null), 'was killed')
})
