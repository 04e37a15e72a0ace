// The cases: which guest is run how, and how it must end. What it must print is in transcripts/NAME.txt.
//
// A case is plain data, since it travels into browser pages:
//   name        of the case and of its transcript
//   guest       the guest's name, if another than the case's; or `bytes`, a module in base64; or `program`, its file
//   args, env   as the guest sees them (without argv[0], which is the guest's name)
//   mounts      guest path -> mount or array of mounts (a union, searched in that order); files of a
//               mount are path -> text. Types: `memory` (writable unless `rights: 'ro'`) and `archive`.
//               A file `{ guest: true }` is the guest's own program.
//   grants      capabilities, as flags (`random`, `fetch,origin={http}`), which a guest finds below /cap
//   servers     modules of servers/ that must run; `{http}` in grants, args, env and stdin is the address of `http`
//   asked       the transcript has what the audit tells of servers that were asked, by the agent and its tasks
//   outside     the outside world answers, for which the agent waits
//   hosts       the hosts that have what the case needs, where not all do; the others print that they left it out
//   stdin       text, given whole and then closed; without it stdin is empty
//   dialogue    steps taken in turn: once stdout has shown `until` (counted from the last step), `send`
//               text to stdin, `close` stdin, `deafen` (close the reading end of stdout) or `kill`
//               the steps of a case that listens: `connect` opens the next connection, to the listener of this
//               index; `say: [connection, text]` sends; `finish` ends what this connection sends
//   listen      how many TCP listeners the guest is handed
//   limits      memory in bytes, time in milliseconds, files
//   waits       a call of the guest waits, so that the system-call variant `none` can't run it
//   masks       name -> regular expression: what differs from run to run, and is `{name}` in the transcript
//   digest      the transcript holds length and SHA-256 of stdout instead of its text
//   exit        reason (`exit`, `signal`, `trap`, `timeout`, `killed`) and, for the first two, the code (0 unless told);
//               reason `refused`: the host rejects the module before it runs, with error code `error`

import { agentCases } from './agents.mjs'
import { deviceCases } from './devices.mjs'

const empty = { type: 'memory', files: {} }
const memory = (files) => ({ type: 'memory', files })
const readOnly = (files) => ({ type: 'memory', files, rights: 'ro' })
const archive = (files) => ({ type: 'archive', files })
/** One empty writable mount at the root. */
const scratch = { '/': empty }

const trap = { reason: 'trap' }
const refused = (error) => ({ reason: 'refused', error })
const base64 = (...bytes) => Buffer.from(bytes).toString('base64')

/** Hosts that have WebSockets: Node has them from version 22 on. */
const withWebSocket = ['native', 'chromium', 'firefox', 'webkit']
/** Firefox lets a page wait before it connects again to a server that has cut a connection off. */
const withQuickWebSocket = ['native', 'chromium', 'webkit']
/** WebKit hands on what is no gzip as it is. */
const withStrictGzip = ['native', 'node', 'chromium', 'firefox']

/** Guests that need one writable file system, print on stdout and exit with 0. */
const onScratch = [
  'file_seek', 'file_truncate', 'file_sparse', 'file_offsets', 'file_append', 'open_flags', 'file_times', 'stamps', 'rename',
  'rename_into_itself', 'hard_links', 'symlinks', 'symlink_depth', 'escapes', 'unlink_open', 'directories', 'readdir',
  'readdir_changes', 'trailing_slashes', 'renumber', 'rights', 'fd_flags', 'allocate', 'stat',
  'sockets', 'bad_descriptors', 'hostile_pointers', 'iovecs', 'paths', 'c_stdio', 'c_directories', 'poll_files', 'poll_left',
].map((name) => ({ name, mounts: scratch }))

/** @type {Record<string, any>[]} */
export const cases = [
  ...onScratch,
  ...agentCases,
  ...deviceCases,
  { name: 'hello' },
  { name: 'args' , args: ['', 'two words', '"quoted"', "it's", 'new\nline', 'naïve 😀', '--flag=x', '-'] },
  { name: 'args_none', guest: 'args' },
  { name: 'args_long', guest: 'args', args: ['long'.repeat(5_000)] },
  { name: 'environment', env: { GREETING: 'hello', EMPTY: '', EQUALS: 'a=b=c', Z: 'naïve', A: 'last' } },
  { name: 'environment_none', guest: 'environment' },
  { name: 'exit_code_0', guest: 'exit_code', args: ['0'] },
  { name: 'exit_code_7', guest: 'exit_code', args: ['7'], exit: { reason: 'exit', code: 7 } },
  { name: 'exit_code_255', guest: 'exit_code', args: ['255'], exit: { reason: 'exit', code: 255 } },
  { name: 'exit_nested', exit: { reason: 'exit', code: 9 } },
  { name: 'main_error', exit: { reason: 'exit', code: 1 } },
  { name: 'c_exit', exit: { reason: 'exit', code: 3 } },
  { name: 'c_exit_at_once', guest: 'c_exit', args: ['now'], exit: { reason: 'exit', code: 4 } },
  { name: 'stdin_echo', stdin: 'some words\nand a last line' },
  { name: 'stdin_echo_empty', guest: 'stdin_echo' },
  { name: 'stdin_echo_big', guest: 'stdin_echo', stdin: 'a line of thirty-two characters\n'.repeat(20_000), digest: true },
  { name: 'stdin_lines', stdin: `first\n\nthird\n${'long '.repeat(20_000)}\nlast` },
  { name: 'c_sort', stdin: '5 -3\n99 1000000000000\n-7 0 5' },
  {
    name: 'dialogue',
    waits: true,
    dialogue: [
      { until: 'number? ', send: '40\n' },
      { until: 'number? ', send: 'forty\n' },
      { until: 'number? ', send: '2' },
      { until: '', send: '\n' },
      { until: 'number? ', close: true },
    ],
  },
  {
    name: 'poll_stdin',
    waits: true,
    dialogue: [
      { until: 'your turn\n', send: 'my turn\n' },
      { until: 'the end, please\n', close: true },
    ],
  },
  { name: 'streams' },
  { name: 'stream_stat' },
  // More than a stream holds, so that the guest waits for its reader.
  { name: 'big_output', waits: true, digest: true },
  { name: 'file_read_write', mounts: { '/': memory({ 'given.txt': 'given text\n' }) } },
  {
    name: 'walk',
    mounts: { '/': memory({ 'given/a.txt': 'a', 'given/b/c.txt': 'c', 'given/b/d/e.txt': 'e' }) },
  },
  { name: 'two_mounts', mounts: { '/first': empty, '/second': empty } },
  {
    name: 'read_only',
    mounts: { '/given': readOnly({ file: 'untouched', 'dir/inner': '12345' }), '/mine': empty },
  },
  {
    name: 'c_access',
    mounts: { '/given': readOnly({ file: 'untouched', 'dir/inner': '12345' }), '/mine': memory({ file: 'text', 'dir/inner': '12345' }) },
  },
  {
    name: 'open_rights',
    grants: ['random'],
    mounts: { '/given': readOnly({ file: 'untouched' }), '/mine': empty },
  },
  {
    name: 'preopens',
    mounts: {
      '/': memory({ file: 'of the root' }),
      '/data': memory({ file: 'of data' }),
      '/data/inner': memory({ file: 'of the inner mount' }),
    },
  },
  { name: 'preopens_none', guest: 'preopens' },
  { name: 'no_files', guest: 'show_tree', args: [] },
  {
    name: 'archive',
    guest: 'show_tree',
    args: ['/archive'],
    mounts: { '/archive': archive({ 'readme.txt': 'from an archive\n', 'lib/a/one': '1', 'lib/b/two': '2' }) },
  },
  {
    name: 'union',
    guest: 'show_tree',
    args: ['/all'],
    mounts: {
      '/all': [
        memory({ 'own.txt': 'own', 'both.txt': 'from the first' }),
        archive({ 'lib/one': '1', 'both.txt': 'from the second' }),
      ],
    },
  },
  {
    name: 'union_read_only_first',
    guest: 'show_tree',
    args: ['/all'],
    mounts: {
      '/all': [
        archive({ 'lib/one': '1', 'both.txt': 'from the first' }),
        memory({ 'own.txt': 'own', 'both.txt': 'from the second' }),
      ],
    },
  },
  { name: 'clocks', waits: true },
  { name: 'poll_clocks', waits: true },
  { name: 'sleep', waits: true },
  {
    // The package hands no sockets to programs.
    name: 'listeners',
    hosts: ['native'],
    listen: 2,
    mounts: scratch,
    waits: true,
    dialogue: [
      { until: 'come to the first\n', connect: 0 },
      { until: 'say something\n', say: [0, 'hello'] },
      { until: 'say more\n', say: [0, 'one '] },
      { until: '', say: [0, 'two'] },
      { until: 'go\n', finish: 0 },
      { until: 'come to the second, twice\n', connect: 1 },
      { until: '', connect: 1 },
      { until: '', say: [2, 'from the second client\n'] },
      { until: '', finish: 2 },
      { until: '', say: [1, 'from the first client\n'] },
      { until: '', finish: 1 },
    ],
  },
  { name: 'random' },
  // The second of these finds what the first has left.
  { name: 'stored_files', grants: ['opfs,name=stored,quota=256KiB'], hosts: ['native', 'chromium', 'firefox'] },
  { name: 'stored_files_again', guest: 'stored_files', args: ['again'], grants: ['opfs,name=stored,quota=256KiB'], hosts: ['native', 'chromium', 'firefox'] },
  { name: 'random_device', grants: ['random'] },
  { name: 'random_device_elsewhere', guest: 'random_device', grants: ['random,at=/dev/random'], args: ['/dev/random'] },
  {
    name: 'console',
    grants: ['console'],
    waits: true,
    dialogue: [
      { until: 'name? ', send: 'Ken\n' },
      { until: 'and yours? ', close: true },
    ],
  },
  { name: 'console_narrow', guest: 'console', grants: ['console,input=no,raw=no,messages=no'] },
  { name: 'crypto', grants: ['crypto,persist=no'], waits: true },
  { name: 'indexeddb', grants: ['indexeddb,quota=1MiB,databases=2'], waits: true, hosts: ['native', 'chromium', 'firefox', 'webkit'] },
  { name: 'crypto_kept', grants: ['crypto'], waits: true, hosts: ['native', 'chromium', 'firefox', 'webkit'] },
  { name: 'yield_raise', exit: { reason: 'signal', code: 134 } },
  { name: 'readdir_many', args: ['10000'], mounts: scratch },
  { name: 'readdir_hundred_thousand', guest: 'readdir_many', args: ['100000'], mounts: scratch },
  {
    name: 'fetch_get',
    servers: ['http'],
    grants: ['fetch,origin={http}'],
    args: ['{http}'],
    outside: true,
  },
  {
    name: 'fetch_post',
    servers: ['http'],
    grants: ['fetch,origin={http},method=*,max-request=2000000'],
    args: ['{http}'],
    outside: true,
  },
  {
    name: 'fetch_refused',
    servers: ['http', 'other'],
    grants: ['fetch,origin={http},method=GET,method=POST'],
    args: ['{http}', '{other}'],
    outside: true,
  },
  {
    name: 'fetch_redirects',
    servers: ['http', 'other'],
    grants: ['fetch,origin={http},origin={other},method=*'],
    args: ['{http}', '{other}'],
    outside: true,
  },
  {
    name: 'fetch_limits',
    hosts: withStrictGzip,
    servers: ['http'],
    grants: ['fetch,origin={http},origin=http://127.0.0.1:1,max-body=1000000,timeout=300ms,concurrency=2'],
    args: ['{http}'],
    outside: true,
  },
  { name: 'ws_messages', servers: ['ws'], grants: ['ws,origin={ws}'], args: ['{ws}'], outside: true, hosts: withQuickWebSocket },
  {
    name: 'ws_refused',
    servers: ['ws'],
    grants: ['ws,origin={ws},max-message=1000,connections=3'],
    args: ['{ws}'],
    outside: true,
    hosts: withWebSocket,
  },
  {
    name: 'fetch_hostile',
    servers: ['hostile'],
    grants: ['fetch,origin={hostile}'],
    args: ['{hostile}'],
    outside: true,
    // WebKitGTK takes the bytes of a redirect's address for Latin-1.
    hosts: ['native', 'node', 'chromium', 'firefox'],
  },
  { name: 'fetch_endless', guest: 'fetch_hostile', servers: ['hostile'], grants: ['fetch,origin={hostile}'], args: ['{hostile}', 'endless'], outside: true, hosts: ['native', 'node'] },
  {
    name: 'ws_hostile',
    servers: ['hostile-ws'],
    grants: ['ws,origin={hostile-ws}'],
    args: ['{hostile-ws}'],
    outside: true,
    // WebKitGTK knows few codes, and calls the others a connection that was broken off; Firefox waits before it connects again.
    hosts: ['native', 'chromium'],
  },
  // A worker of a page that never waits hears of nothing.
  { name: 'fetch_busy', servers: ['http'], grants: ['fetch,origin={http}'], args: ['{http}'], hosts: ['native'] },
  { name: 'fetch_poll', servers: ['http'], grants: ['fetch,origin={http}'], args: ['{http}'], outside: true },
  {
    name: 'tasks',
    grants: ['task,children=32'],
    mounts: {
      '/bin': readOnly({ 'tasks.wasm': { guest: true } }),
      '/data': memory({ 'a.txt': 'the first\n' }),
      '/other': memory({ 'a.txt': 'the other\n', 'b.txt': 'only there\n' }),
    },
    waits: true,
  },
  {
    name: 'tasks_unread',
    guest: 'tasks',
    args: ['unread'],
    grants: ['task'],
    mounts: { '/bin': readOnly({ 'tasks.wasm': { guest: true } }) },
    waits: true,
  },
  {
    name: 'tasks_unended',
    grants: ['task'],
    mounts: { '/bin': readOnly({ 'tasks_unended.wasm': { guest: true } }) },
    waits: true,
  },
  {
    name: 'tasks_limits',
    guest: 'tasks',
    args: ['limits'],
    grants: ['task'],
    mounts: { '/bin': readOnly({ 'tasks.wasm': { guest: true } }), '/data': memory({ 'a.txt': '' }) },
    limits: { memory: 16 * 1024 * 1024, files: 64 },
    waits: true,
    // In a page each child has its parent's limits for itself.
    hosts: ['native'],
  },
  {
    name: 'tasks_granting',
    guest: 'tasks',
    servers: ['http', 'other'],
    args: ['granting', '{http}', '{other}'],
    asked: true,
    grants: ['task,children=32', 'crypto', 'random', 'fetch,origin={http},origin={other}'],
    mounts: { '/bin': readOnly({ 'tasks.wasm': { guest: true } }) },
    waits: true,
  },
  {
    name: 'tasks_taking',
    guest: 'tasks',
    args: ['taking'],
    grants: ['task', 'crypto'],
    mounts: {
      '/bin': readOnly({ 'tasks.wasm': { guest: true } }),
      '/data': memory({ 'a.txt': 'the first' }),
      '/other': memory({ 'a.txt': 'the other' }),
    },
    waits: true,
  },
  {
    name: 'tasks_views',
    guest: 'tasks',
    args: ['views'],
    grants: ['task'],
    // Without files, they are memory on every host, whose roots are alike.
    mounts: { '/bin': readOnly({ 'tasks.wasm': { guest: true } }), '/data': memory({}), '/other': memory({}) },
    waits: true,
  },
  { name: 'many_descriptors', args: ['10000'], mounts: scratch },
  { name: 'many_descriptors_limit', guest: 'many_descriptors', args: ['10000'], mounts: scratch, limits: { files: 64 } },
  { name: 'memory_growth', limits: { memory: 16 * 1024 * 1024 } },
  { name: 'closed_pipe', waits: true, dialogue: [{ until: 'first words\n', deafen: true }, { until: '', send: 'nobody reads\n', close: true }] },
  { name: 'crash_unreachable', guest: 'crash', args: ['unreachable'], exit: trap },
  { name: 'crash_overflow', guest: 'crash', args: ['overflow'], exit: trap },
  { name: 'crash_stray', guest: 'crash', args: ['stray'], exit: trap },
  { name: 'crash_panic', guest: 'crash', args: ['panic'], exit: trap },
  { name: 'crash_abort', guest: 'crash', args: ['abort'], exit: trap },
  { name: 'divide', exit: trap },
  { name: 'forever_spin', guest: 'forever', args: ['spin'], limits: { time: 1_000 }, exit: { reason: 'timeout' } },
  { name: 'forever_call', guest: 'forever', args: ['call'], limits: { time: 1_000 }, exit: { reason: 'timeout' } },
  {
    name: 'forever_sleep',
    guest: 'forever',
    args: ['sleep'],
    waits: true,
    limits: { time: 1_000 },
    exit: { reason: 'timeout' },
  },
  ...['spin', 'call', 'sleep', 'read'].map((how) => ({
    name: `killed_${how}`,
    guest: 'forever',
    args: [how],
    waits: how !== 'call' && how !== 'spin',
    dialogue: [{ until: `${how} for ever\n`, kill: true }],
    exit: { reason: 'killed' },
  })),
  { name: 'unstable', mounts: { '/': memory({ file: '0123456789' }) }, waits: true },
  { name: 'both_snapshots', exit: { reason: 'exit', code: 5 } },
  { name: 'extra_imports', exit: { reason: 'exit', code: 52 } },
  { name: 'foreign_imports', exit: refused('MODULE_IMPORTS') },
  { name: 'no_start', exit: refused('MODULE_NO_START') },
  { name: 'component', bytes: base64(0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0), exit: refused('MODULE_COMPONENT') },
  { name: 'truncated', bytes: base64(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 0x20, 5), exit: refused('MODULE_INVALID') },
  { name: 'no_module', bytes: Buffer.from('#!/bin/sh\n').toString('base64'), exit: refused('MODULE_INVALID') },
  { name: 'empty_module', bytes: '', exit: refused('MODULE_INVALID') },
]
