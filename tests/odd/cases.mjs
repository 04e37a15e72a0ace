// Odd modules: what each host must make of them, with the same code and the same words (docs/modules.md).
//
//   name     of the case
//   wat      the module's text, in the folded or the flat form; or `bytes`, the file
//   exit     reason and code; or `refused`, the code of the error
//   says     what the message must have in it
//   stdout   what it prints, nothing unless told
//   limits   as in cases.mjs
//   needs    what the engine must have, of FEATURES; where it hasn't, the module is refused as not valid

const bytes = (...parts) => Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : Buffer.from([part].flat()))))
const HEADER = '\0asm\x01\0\0\0'

const MEMORY = '(memory (export "memory") 1)'
const START = '(func (export "_start"))'
const WRITE = '(import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))'
const EXIT = '(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))'
const SLEEP = '(import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))'
/** `(call $say (i32.const AT) (i32.const LENGTH))` prints what is in memory. */
const SAY = `(func $say (param i32 i32)
  (i32.store (i32.const 1000) (local.get 0)) (i32.store (i32.const 1004) (local.get 1))
  (drop (call $write (i32.const 1) (i32.const 1000) (i32.const 1) (i32.const 1008))))
  (data (i32.const 0) "first\\nthen\\n")`
const FIRST = '(call $say (i32.const 0) (i32.const 6))'
const THEN = '(call $say (i32.const 6) (i32.const 5))'

const refused = (name, wat, code, says) => ({ name, wat, refused: code, says })
const file = (name, content, code, says) => ({ name, bytes: bytes(...[content].flat()), refused: code, says })

/** What not every engine has, and whether that of a host has it. */
export const FEATURES = {
  'several memories': (host, variants) => {
    if (host === 'native') return true
    // What stands between the kernel and an agent has two of them where the engine can.
    if (host !== 'node') return variants.some((variant) => variant.endsWith('-multi'))
    return WebAssembly.validate(bytes(HEADER, '\x05\x05\x02\0\0\0\0'))
  },
}

/** @type {Record<string, any>[]} */
export const cases = [
  // What is no module.
  file('empty file', '', 'MODULE_INVALID', 'is not WebAssembly: it is empty'),
  file('script', '#!/bin/sh\n', 'MODULE_INVALID', 'it is a script'),
  file('page', '<!doctype html>', 'MODULE_INVALID', 'it looks like a page'),
  file('native code', '\x7fELF\x02\x01\x01', 'MODULE_INVALID', 'it is native code'),
  file('archive', 'PK\x03\x04', 'MODULE_INVALID', 'it is a zip archive'),
  file('compressed', '\x1f\x8b\x08', 'MODULE_INVALID', 'it is compressed by gzip'),
  file('text', '(module)', 'MODULE_INVALID', 'text format'),
  file('header cut short', '\0asm\x01', 'MODULE_INVALID', 'is cut short: it ends within its header'),
  file('another version', '\0asm\x02\0\0\0', 'MODULE_INVALID', 'its version is not 1'),
  file('component', '\0asm\x0d\0\x01\0', 'MODULE_COMPONENT', 'is a component'),
  file('section cut short', [HEADER, '\x01\x20\x05'], 'MODULE_INVALID', 'is cut short: 31 bytes are missing from the section at byte 8'),
  file('head of a section cut short', [HEADER, '\x01\x80'], 'MODULE_INVALID', 'it ends in the head of the section at byte 8'),
  file('endless length', [HEADER, '\x01\xff\xff\xff\xff\xff\x01'], 'MODULE_INVALID', 'more than 32 bits'),
  file('types that are none', [HEADER, '\x01\x02\x01\x13'], 'MODULE_INVALID', 'is not a valid WebAssembly module'),
  file('too many functions', [HEADER, '\x03\xc4\x84\x3d\xc1\x84\x3d', new Array(1_000_001).fill(0)], 'MODULE_INVALID', 'it has more than 1000000 functions'),
  file('too many memories', [HEADER, '\x05\xcb\x01\x65', new Array(202).fill(0)], 'MODULE_INVALID', 'it has more than 100 memories'),
  file('types in groups', [HEADER, '\x01\x0a\x01\x4e\x02\x50\0\x60\0\0\x5f\0'], 'MODULE_NO_START', 'has no `_start` function'),
  file('nothing in it', HEADER, 'MODULE_NO_START', 'has no `_start` function'),

  // Imports.
  refused('unknown function', `(module (import "env" "f" (func)) ${MEMORY} ${START})`, 'MODULE_IMPORTS', 'imports what no host provides: env.f (function)'),
  refused('imported memory', `(module (import "env" "memory" (memory 1)) (export "memory" (memory 0)) ${START})`, 'MODULE_IMPORTS', 'env.memory (memory)'),
  refused('imported table', `(module (import "env" "t" (table 1 funcref)) ${MEMORY} ${START})`, 'MODULE_IMPORTS', 'env.t (table)'),
  refused('imported tag', `(module (import "env" "e" (tag)) ${MEMORY} ${START})`, 'MODULE_IMPORTS', 'env.e (tag)'),
  refused('imported global', `(module (import "wasi_snapshot_preview1" "args_get" (global i32)) ${MEMORY} ${START})`, 'MODULE_IMPORTS', 'wasi_snapshot_preview1.args_get (global)'),
  refused('call of another type', `(module (import "wasi_snapshot_preview1" "fd_close" (func (param i64) (result i32))) ${MEMORY} ${START})`, 'MODULE_IMPORTS', 'fd_close (a function of another type)'),
  refused('exit of another type', `(module (import "wasi_unstable" "proc_exit" (func (result i32))) ${MEMORY} ${START})`, 'MODULE_IMPORTS', 'wasi_unstable.proc_exit (a function of another type)'),
  refused('extension that can say no errno', `(module (import "wasi_snapshot_preview1" "sock_open" (func (result i64))) ${MEMORY} ${START})`, 'MODULE_IMPORTS', 'sock_open (a function of another type)'),
  refused('name that controls a terminal', `(module (import "\\1b[2J" "a\\0a\\e2\\80\\aeb" (func)) ${MEMORY} ${START})`, 'MODULE_IMPORTS', '\\u{1b}[2J.a\\n\\u{202e}b (function)'),
  {
    name: 'extension',
    wat: `(module ${EXIT} (import "wasi_snapshot_preview1" "sock_open" (func $open (param i32 i32 i32) (result i32))) ${MEMORY}
      (func (export "_start") (call $exit (call $open (i32.const 1) (i32.const 2) (i32.const 3)))))`,
    exit: { reason: 'exit', code: 52 },
  },
  {
    name: 'call of an older draft',
    wat: `(module ${EXIT} (import "wasi_snapshot_preview1" "sock_accept" (func $accept (param i32 i32) (result i32))) ${MEMORY}
      (func (export "_start") (call $exit (call $accept (i32.const 3) (i32.const 0)))))`,
    exit: { reason: 'exit', code: 52 },
  },

  // _start.
  refused('no start', `(module ${MEMORY})`, 'MODULE_NO_START', 'is a library, not a command'),
  refused('reactor', `(module ${MEMORY} (func (export "_initialize")))`, 'MODULE_NO_START', 'has no `_start`'),
  refused('start that is no function', `(module ${MEMORY} (global (export "_start") i32 (i32.const 0)))`, 'MODULE_NO_START', 'has no `_start`'),
  refused('start that takes a value', `(module ${MEMORY} (func (export "_start") (param i32)))`, 'MODULE_START_TYPE', 'takes or returns values'),
  refused('start that returns a value', `(module ${MEMORY} (func (export "_start") (result i32) (i32.const 0)))`, 'MODULE_START_TYPE', 'takes or returns values'),
  refused('start that is a call', `(module (import "wasi_snapshot_preview1" "sched_yield" (func $f (result i32))) ${MEMORY} (export "_start" (func $f)))`, 'MODULE_START_TYPE', 'takes or returns values'),

  // Memories.
  refused('no memory', `(module ${START})`, 'MODULE_NO_MEMORY', 'exports no memory named `memory`'),
  refused('memory that is not exported', `(module (memory 1) ${START})`, 'MODULE_NO_MEMORY', 'exports no memory'),
  refused('table as memory', `(module (memory 1) (table (export "memory") 1 funcref) ${START})`, 'MODULE_NO_MEMORY', 'exports no memory'),
  refused('wide memory', `(module (memory (export "memory") i64 1) ${START})`, 'MODULE_MEMORY', '64-bit addresses'),
  refused('shared memory', `(module (memory (export "memory") 1 2 shared) ${START})`, 'MODULE_MEMORY', 'threads share'),
  file('small pages', [HEADER, '\x01\x04\x01\x60\0\0', '\x03\x02\x01\0', '\x05\x04\x01\x08\x01\0', '\x07\x13\x02\x06memory\x02\0\x06_start\0\0', '\x0a\x04\x01\x02\0\x0b'], 'MODULE_MEMORY', 'not of 64 KiB'),
  refused('too many pages', `(module (memory (export "memory") 65537) ${START})`, 'MODULE_INVALID', 'is not a valid WebAssembly module'),
  { ...refused('more than it may have', `(module (memory (export "memory") 17) ${START})`, 'MEMORY_LIMIT', 'needs 1114112 bytes of memory to start, and may have 1048576'), limits: { memory: 2 ** 20 } },
  { name: 'two memories', wat: `(module (memory 1) (memory (export "memory") 1) ${START})`, exit: { reason: 'exit', code: 0 }, needs: 'several memories' },
  {
    ...refused('two memories, more than they may have', `(module (memory 9) (memory (export "memory") 8) ${START})`, 'MEMORY_LIMIT', 'needs 1114112 bytes of memory'),
    limits: { memory: 2 ** 20 },
  },
  {
    name: 'growing up to the limit',
    wat: `(module ${EXIT} (memory (export "memory") 1)
      (func (export "_start") (if (i32.ne (memory.grow (i32.const 8)) (i32.const 1)) (then (call $exit (i32.const 1))))
        (if (i32.ne (memory.grow (i32.const 8)) (i32.const -1)) (then (call $exit (i32.const 2)))) (call $exit (i32.const 3))))`,
    limits: { memory: 2 ** 20 },
    exit: { reason: 'exit', code: 3 },
  },

  // The start function.
  { name: 'start function', wat: `(module ${EXIT} ${MEMORY} (global $g (mut i32) (i32.const 0)) (func $first (global.set $g (i32.const 9))) (start $first) (func (export "_start") (call $exit (global.get $g))))`, exit: { reason: 'exit', code: 9 } },
  { name: 'start function that ends the program', wat: `(module ${EXIT} ${MEMORY} (func $first (call $exit (i32.const 7))) (start $first) (func (export "_start") (unreachable)))`, exit: { reason: 'exit', code: 7 } },
  { name: 'start function that prints', wat: `(module ${WRITE} ${MEMORY} ${SAY} (func $first ${FIRST}) (start $first) (func (export "_start") ${THEN}))`, exit: { reason: 'exit', code: 0 }, stdout: 'first\nthen\n' },
  {
    name: 'start function that waits',
    // A subscription to a clock: 20 ms from now.
    wat: `(module ${WRITE} ${SLEEP} ${MEMORY} ${SAY}
      (func $first ${FIRST} (i32.store (i32.const 116) (i32.const 1)) (i64.store (i32.const 124) (i64.const 20000000))
        (i32.store (i32.const 116) (i32.const 1)) (drop (call $poll (i32.const 100) (i32.const 200) (i32.const 1) (i32.const 300))) ${THEN})
      (start $first) ${START})`,
    exit: { reason: 'exit', code: 0 },
    stdout: 'first\nthen\n',
  },
  { name: 'start function that traps', wat: `(module ${MEMORY} (func $first (unreachable)) (start $first) ${START})`, exit: { reason: 'trap' } },
  { name: 'start function under a name that is taken', wat: `(module ${EXIT} ${MEMORY} (func $first (call $exit (i32.const 7))) (start $first) (func (export "capfs-start")) ${START})`, exit: { reason: 'exit', code: 7 } },
  { name: 'start function and a limit', wat: `(module ${EXIT} ${MEMORY} (func $first (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then (call $exit (i32.const 3))))) (start $first) ${START})`, limits: { memory: 2 ** 20 }, exit: { reason: 'exit', code: 3 } },
  { name: 'start function that is a call', wat: `(module (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32))) ${MEMORY} (func $first (drop (call $yield))) (start $first) ${START})`, exit: { reason: 'exit', code: 0 } },

  // Exceptions, as browsers and Node have had them for years.
  { name: 'exception that nobody caught', wat: `(module ${MEMORY} (tag $e (param i32)) (func (export "_start") i32.const 1 throw $e))`, exit: { reason: 'trap' }, says: 'threw an exception that nobody caught' },
  { name: 'exception that is caught', wat: `(module ${EXIT} ${MEMORY} (tag $e (param i32)) (func (export "_start") try i32.const 7 throw $e catch $e call $exit end))`, exit: { reason: 'exit', code: 7 } },
  { name: 'exception that is thrown on', wat: `(module ${EXIT} ${MEMORY} (tag $e (param i32)) (func (export "_start") try try i32.const 7 throw $e catch_all rethrow 0 end catch $e call $exit end))`, exit: { reason: 'exit', code: 7 } },
  { name: 'exception that is delegated', wat: `(module ${EXIT} ${MEMORY} (tag $e (param i32)) (func (export "_start") try $t try try i32.const 7 throw $e delegate $t catch_all unreachable end catch $e call $exit end))`, exit: { reason: 'exit', code: 7 } },
  { name: 'end inside of a try', wat: `(module ${EXIT} ${MEMORY} (func (export "_start") try i32.const 7 call $exit catch_all i32.const 8 call $exit end))`, exit: { reason: 'exit', code: 7 } },
  { name: 'exception from a start function', wat: `(module ${MEMORY} (tag $e) (func $first throw $e) (start $first) ${START})`, exit: { reason: 'trap' }, says: 'threw an exception that nobody caught' },

  // The rest of the file.
  refused('function that is not valid', `(module ${MEMORY} (func (export "_start") unreachable) (func (result i32)))`, 'MODULE_INVALID', 'is not a valid WebAssembly module'),
  { ...refused('data cut short', `(module ${MEMORY} ${START} (data (i32.const 0) "0123456789"))`, 'MODULE_INVALID', 'is cut short: 4 bytes are missing'), cut: 4 },
  { name: 'section that nobody knows', wat: `(module ${MEMORY} ${START})`, append: bytes([0x40, 1, 0]), refused: 'MODULE_INVALID', says: 'is not a valid WebAssembly module' },
  { name: 'custom sections', wat: `(module ${MEMORY} ${START})`, append: bytes([0, 6, 4], 'name', 9, [0, 3, 1, 0x1b, 0]), exit: { reason: 'exit', code: 0 } },
]
