import assert from 'node:assert/strict'
import { test } from 'node:test'
import { missing } from '../invariants/named-files.mjs'

const TOPS = new Set(['books', 'code'])
const THERE = new Set(['books/a.md', 'books/b.md', 'code/src', 'code/src/a.ts', 'README.md'])
const found = (name, text) => missing(name, text, TOPS, (path) => THERE.has(path.replace(/\/$/, ''))).map((line) => / names (\S+),/.exec(line)[1])

for (const text of [
  'see [a](a.md), [b](b.md#part), [the start](../README.md), [elsewhere](https://example.org/a/b.md), [here](#part)', 'in `code/src`, and `code/src/` too', '`code/src/a.ts`',
  '`books/{a,b}.md`', 'made: `code/dist/index.js`', '`/code/none.ts` of a guest', 'another tree: `lib/none.ts`', 'a form: `code/NAME`', './code/none.ts', '${x}/code/none.ts',
]) {
  test(`nothing is missing: ${text}`, () => assert.deepEqual(found('books/a.md', text), []))
}

for (const [name, text, gone] of [
  ['books/a.md', '[c](c.md)', ['books/c.md']], ['books/a.md', '`code/src/none.ts`', ['code/src/none.ts']], ['books/a.md', '`code/none`', ['code/none']],
  ['books/a.md', '`books/{a,c,d}.md`', ['books/c.md', 'books/d.md']], ['code/src/a.ts', '/** As in `code/src/none.ts`. */', ['code/src/none.ts']],
]) {
  test(`something is missing in ${name}: ${text}`, () => assert.deepEqual(found(name, text), gone))
}

test('a folder without an end of a name is looked for in documents alone', () => assert.deepEqual(found('code/src/a.ts', "import('code/none')"), []))
