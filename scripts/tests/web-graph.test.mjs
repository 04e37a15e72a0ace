import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crossings, importedBy } from '../invariants/web-graph.mjs'

test('every way to import is found', () => {
  const source = `/** It imports nothing from './comment.js'. */
import './effect.js';
import { a, type B } from '../both/a.js';
import type { C } from "../both/c.js";
import {
  d,
  e,
} from './several.js';
export * from './all.js';
export { f } from './f.js';
const g = await import('./later.js');
const h: import('./type.js').H = 'from';
`
  assert.deepEqual(importedBy(source).sort(), ['../both/a.js', '../both/c.js', './all.js', './effect.js', './f.js', './later.js', './several.js', './type.js'])
})

const crossing = (name, target) => crossings(new Map([[name, `import type { A } from '${target}';\n`]]))

for (const [name, target] of [
  ['page/agent.ts', './start/options.js'], ['page/start/options.ts', '../../both/errors.js'], ['worker/serve.ts', './waiting.js'], ['both/kernels.ts', '../kernel-full.js'],
  ['index.ts', './page/api.js'], ['worker.ts', './worker/serve.js'], ['page/capfs.ts', '../assets.js'], ['node.ts', 'node:path'],
]) {
  test(`${name} may import ${target}`, () => assert.deepEqual(crossing(name, target), []))
}

for (const [name, target] of [
  ['page/agent.ts', '../worker/waiting.js'], ['page/start/options.ts', '../../worker/waiting.js'], ['worker/serve.ts', '../page/agent.js'], ['both/errors.ts', '../page/agent.js'],
  ['both/errors.ts', '../worker/serve.js'], ['worker.ts', './page/api.js'], ['index.ts', './worker/serve.js'], ['both/errors.ts', '../assets.js'], ['stray.ts', './both/errors.js'],
]) {
  test(`${name} may not import ${target}`, () => assert.equal(crossing(name, target).length, 1))
}
