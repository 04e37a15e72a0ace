// The terminal's line discipline by itself, in Node. Prints `N passed, N failed`.

import assert from 'node:assert/strict'
import { LineDiscipline } from '../../web/dist/demo/app/terminal/line-discipline.js'

const results = { passed: 0, failed: 0 }

/** What a discipline did with the keys, as a list of events. */
function typed(...keys) {
  const events = []
  const line = new LineDiscipline({
    echo: (text) => events.push(['echo', text]),
    send: (text) => events.push(['send', text]),
    end: () => events.push(['end']),
    interrupt: () => events.push(['interrupt']),
  })
  for (const key of keys) {
    if (typeof key === 'boolean') line.setRaw(key)
    else line.input(key)
  }
  return { sent: events.filter(([kind]) => kind !== 'echo'), echoed: events.filter(([kind]) => kind === 'echo').map(([, text]) => text).join('') }
}

function test(name, body) {
  try {
    body()
    results.passed++
    console.log(`ok   ${name}`)
  } catch (error) {
    results.failed++
    console.log(`FAIL ${name}\n${error.stack}`)
  }
}

test('sends whole lines', () => assert.deepEqual(typed('a', 'b', '\r').sent, [['send', 'ab\n']]))
test('takes pasted lines apart', () => assert.deepEqual(typed('one\r\ntwo\r').sent, [['send', 'one\n'], ['send', 'two\n']]))
test('erases a character', () => assert.deepEqual(typed('ab\x7fc\r').sent, [['send', 'ac\n']]))
test('erases two columns of a wide character', () => assert.equal(typed('漢\x7f').echoed, '漢\b \b\b \b'))
test('erases nothing beyond the start', () => assert.equal(typed('\x7f').echoed, ''))
test('erases a word', () => assert.deepEqual(typed('one two \x17x\r').sent, [['send', 'one x\n']]))
test('erases the line', () => assert.deepEqual(typed('one\x15two\r').sent, [['send', 'two\n']]))
test('^D ends the input on an empty line', () => assert.deepEqual(typed('\x04').sent, [['end']]))
test('^D hands over a line that was begun', () => assert.deepEqual(typed('ab\x04').sent, [['send', 'ab']]))
test('^C interrupts and forgets the line', () => assert.deepEqual(typed('ab\x03', '\r').sent, [['interrupt'], ['send', '\n']]))
test('the up arrow brings back a line', () => assert.deepEqual(typed('one\r', '\x1b[A', '\r').sent, [['send', 'one\n'], ['send', 'one\n']]))
test('the down arrow brings back the draft', () => assert.deepEqual(typed('one\r', 'dr', '\x1b[A', '\x1b[B', '\r').sent.at(-1), ['send', 'dr\n']))
test('raw hands over each key and echoes none', () => {
  assert.deepEqual(typed('ab', true, 'c', '\x1b[A', '\r', false, 'd\r').sent, [['send', 'ab'], ['send', 'c'], ['send', '\x1b[A'], ['send', '\r'], ['send', 'd\n']])
  assert.equal(typed(true, 'c').echoed, '')
  assert.deepEqual(typed(true, '\x03').sent, [['interrupt']])
})
test('other keys are not taken for text', () => assert.deepEqual(typed('\x1b[D', '\x1b[15~', '\r').sent, [['send', '\n']]))

console.log(`${results.passed} passed, ${results.failed} failed`)
process.exitCode = results.failed > 0 ? 1 : 0
