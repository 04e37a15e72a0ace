// The cases of the sample agents: the same `.wasm` on every host, with the same transcript. Their fields are those of
// cases.mjs.

import { fileURLToPath } from 'node:url'

const memory = (files) => ({ type: 'memory', files })

/** A case of an agent in agents/dist. */
const agent = (guest, name, rest) => ({
  name: `${guest}_${name}`,
  guest,
  program: fileURLToPath(new URL(`../agents/dist/${guest}.wasm`, import.meta.url)),
  ...rest,
})

const lines = (...all) => `${all.join('\n')}\n`

/** Feeds are asked for on a server of the tests, and kept in a memory mount. */
const feeds = { servers: ['feeds'], grants: ['fetch,origin={feeds}'], mounts: { '/': memory({}) }, outside: true }
/** Digests of what the tests' server answers at /hello. */
const hello = {
  sha256: '853ff93762a06ddbf722c4ebe9ddd66d8f63ddaea97f521c3ecc20da7c976020',
  sha384: '6d001da919b965dc3a4672b9d7ddce374d165452a2285f2753988842092ea6b9946645375cff3ede89a991c9698bfcea',
}
const websum = { servers: ['http'], grants: ['fetch,origin={http},max-body=2000000', 'crypto,persist=no'], outside: true }

/** Notes that another program may have written: an export, text files, and an index that is none. */
const exported = lines(
  '{"created":"2025-03-01T08:00:00Z","changed":"2025-03-02T08:00:00Z","tags":["garden"],"text":"Tomatoes\\n\\nSow in March, under glass. The gardener said: not before the frost is over."}',
  '{"created":"2025-04-01T08:00:00Z","changed":"2025-04-01T08:00:00Z","tags":["home","urgent"],"text":"Buy milk, bread and tomatoes"}',
  '{"created":"2025-05-01T08:00:00Z","changed":"2025-05-01T08:00:00Z","tags":[],"text":"Über die Straße\\nDas Café an der Ecke hat montags zu."}',
)
const stored = ['native', 'chromium', 'firefox']

/** Hosts that have WebSockets: Node has them from version 22 on. */
const connected = ['native', 'chromium', 'firefox', 'webkit']

/** A real relay, and a key that the host keeps; what these make is new each time. */
const nostr = {
  servers: ['relay'],
  grants: ['ws,origin={relay}', 'crypto'],
  masks: { npub: 'npub1[a-z0-9]{58}', note: 'note1[a-z0-9]{58}', key: '\\b[0-9a-f]{64}\\b', time: '\\d{4}-\\d\\d-\\d\\dT[0-9:]{8}Z' },
  outside: true,
  hosts: connected,
}
/** A relay that lies. Reading needs no key of one's own. */
const hostile = {
  servers: ['hostile-relay'],
  grants: ['ws,origin={hostile-relay}', 'crypto,persist=no'],
  outside: true,
  hosts: connected,
}
const failed = { exit: { reason: 'exit', code: 1 } }
/** Its cases. */
const misread = (name, rest) => agent('nostr', name, { ...hostile, ...failed, args: ['read', '--relay', `{hostile-relay}/${name}`, '--timeout', '3'], ...rest })

/** @type {Record<string, any>[]} */
export const agentCases = [
  agent('explorer', 'files', {
    mounts: { '/': memory({ 'readme.txt': 'some words\n', 'lib/a/one': '1', 'lib/two': '22' }) },
    stdin: lines(
      'ls; pwd',
      'cat readme.txt',
      "echo 'a  b' > made; echo -n c >> made; cat made; echo",
      'cd lib; ls -l; ls -l two; cd ..',
      'mkdir d; cp made d; mv readme.txt d/renamed; ls d lib',
      'xd made; head 3 made; echo',
      'stat /lib/a/nothing # its time is no matter of a transcript',
      'rm made; rm -r d; ls',
    ),
    exit: { reason: 'exit', code: 1 },
  }),
  agent('explorer', 'errors', {
    mounts: { '/': memory({ 'dir/file': 'x' }) },
    stdin: lines(
      'cat nowhere',
      'cat dir',
      'rm dir',
      'cd dir/file',
      'mkdir dir',
      'echo x > dir',
      'echo x > nowhere/file',
      "echo 'open",
      'frobnicate',
      'mv one',
      'read 3',
      'bind /dir /other',
      'echo still here',
      'exit 5',
      'echo never',
    ),
    exit: { reason: 'exit', code: 5 },
  }),
  agent('explorer', 'root_and_devices', {
    grants: ['random'],
    mounts: { '/': memory({ file: 'x' }) },
    args: ['-c', 'ls /; ls /cap; head 10 /cap/random > bytes; ls -l'],
  }),
  // Why is in `error` of the device, two directories above what was opened.
  agent('explorer', 'refused', {
    grants: ['fetch,origin=https://granted.example'],
    stdin: lines('cat /cap/fetch/https/elsewhere.example/a/b', 'cat /cap/fetch/7/body'),
    exit: { reason: 'exit', code: 1 },
  }),
  agent('explorer', 'devices', {
    grants: ['random'],
    mounts: { '/tmp': memory({}) },
    args: ['-c', 'ls /cap; head 1000 /cap/random > /tmp/bytes; ls -l /tmp; open 3 /cap/random; held; close 3; echo x > /cap/random'],
    exit: { reason: 'exit', code: 1 },
  }),
  // Whatever is given where, and in which order: none hides another.
  agent('explorer', 'within', {
    grants: ['random,at=/a/b', 'crypto,persist=no,at=/a', 'random', 'random,at=/data/random'],
    mounts: { '/cap': memory({ own: 'x' }), '/data': memory({ own: 'x' }), '/data/random.d': memory({ inner: 'x' }) },
    args: ['-c', 'ls /cap /data /data/random.d; head 1000 /a/b > /cap/b; head 10 /data/random > /cap/data; head 1 /cap/random > /cap/cap; ls -l /cap; ls /a'],
  }),
  agent('feeds', 'read', { ...feeds, args: ['read', '{feeds}/rss', '{feeds}/atom', '{feeds}/rss'] }),
  agent('feeds', 'errors', {
    ...feeds,
    args: ['read', '{feeds}/words', '{feeds}/cut', '{feeds}/nowhere', 'https://not-granted.example/', '{feeds}/atom'],
    exit: { reason: 'exit', code: 1 },
  }),
  agent('feeds', 'not_granted', { args: ['add', 'https://a.example/'], mounts: { '/': memory({}) }, exit: { reason: 'exit', code: 1 } }),
  agent('feeds', 'usage', { args: ['frobnicate'], exit: { reason: 'exit', code: 1 } }),
  agent('websum', 'print', { ...websum, args: ['{http}/hello', '{http}/pattern?length=1000000', '{http}/gzip?length=5000'] }),
  agent('websum', 'print_sha512', { ...websum, args: ['-a', 'sha512', '{http}/hello'] }),
  agent('websum', 'check', {
    ...websum,
    args: ['-c'],
    stdin: lines(
      '# comments and empty lines are left out',
      '',
      `${hello.sha256}  {http}/hello`,
      `${hello.sha384.toUpperCase()} *{http}/redirect?to=/hello`,
      'b96047041d16fe8ee33b276f47c283a470181da2bbf923b84825c7612b086bde  {http}/pattern?length=1000000',
    ),
  }),
  agent('websum', 'check_wrong', {
    ...websum,
    args: ['-q', '-c', '-', '/nowhere'],
    mounts: { '/': memory({}) },
    stdin: lines(
      `${hello.sha256}  {http}/hello`,
      `${hello.sha256}  {http}/pattern?length=3`,
      `${hello.sha256}  {http}/status?code=404`,
      `${hello.sha256}  {http}/bytes?length=2000001`,
      `${hello.sha256}  https://elsewhere.example/`,
      `${hello.sha256}  no URL`,
      `${hello.sha256}  {http}/\u001b[2Jhello`,
      `${hello.sha256.slice(1)}  {http}/hello`,
      `${hello.sha256}  {http}/${'long'.repeat(2_500)}`,
    ),
    exit: { reason: 'exit', code: 1 },
  }),
  agent('websum', 'keep', {
    ...websum,
    args: ['-o', '/kept', '{http}/hello', hello.sha384],
    mounts: { '/': memory({ kept: 'before' }) },
    collect: ['/kept'],
  }),
  {
    ...agent('explorer', '', { mounts: { '/': memory({ kept: { from: 'websum_keep', path: '/kept' } }) }, args: ['-c', 'cat kept'] }),
    name: 'websum_kept',
    outside: true,
  },
  agent('websum', 'keep_not', {
    ...websum,
    args: ['-o', '/kept', '{http}/pattern?length=3', hello.sha256],
    mounts: { '/': memory({ kept: 'before' }) },
    exit: { reason: 'exit', code: 1 },
  }),
  agent('websum', 'not_granted', { grants: ['crypto,persist=no'], args: ['https://a.example/'], exit: { reason: 'exit', code: 1 } }),
  agent('websum', 'nothing_granted', { args: ['https://a.example/'], exit: { reason: 'exit', code: 1 } }),
  agent('websum', 'help', { args: ['--help'] }),
  agent('websum', 'misused', { args: ['-a', 'md5', 'https://a.example/'], exit: { reason: 'exit', code: 2 } }),
  agent('notes', 'searched', {
    mounts: { '/': memory({ 'export.jsonl': exported }) },
    stdin: lines(
      'import /export.jsonl',
      'list -l',
      'list HOME urgent',
      'tags',
      'search tomatoes',
      'search tomato* -#home',
      'search uber strasse cafe',
      'search gard* frost',
      "search 'before the frost'",
      "search 'the before'",
      'search milk -bread',
      'search #garden',
      'search -n 1 d*',
      'add -t later -t Home',
      "  Call Ada about the gardener's bill",
      'and the milk.',
      '.',
      'search milk',
      'tag 2 -urgent +shop',
      'edit 3 Nothing left of it',
      'search cafe',
      'show 4 2',
      'remove 2 4',
      'add numbers are not used again',
      'list',
    ),
    exit: { reason: 'exit', code: 1 },
  }),
  agent('notes', 'exported', {
    mounts: { '/': memory({ 'export.jsonl': exported }) },
    stdin: lines('import /export.jsonl', 'import /export.jsonl', 'export'),
  }),
  agent('notes', 'of_others', {
    mounts: {
      '/': memory({
        'notes/7.txt': 'Plain text that another program wrote\n',
        'notes/9.txt': 'tags: a\n\nWith a head\n',
        'notes/11.txt': '',
        'notes/9.txt.new': 'half a no',
        'notes/readme.txt': 'no note',
        'notes/index': 'no index',
      }),
    },
    stdin: lines('list', 'search wrote', 'tag 7 seen', 'show 7', 'add a new one'),
  }),
  agent('notes', 'of_one_line', { mounts: { '/n': memory({}) }, args: ['--in', '/n', 'add', '-t', 'x', '--', '-t', 'is', 'text'] }),
  agent('notes', 'errors', {
    mounts: { '/': memory({ bad: '{"text":"good"}\n{"text":"bad","tags":[1]}\n', worse: '{"text":\n' }) },
    stdin: lines(
      'list',
      'search',
      'search -only',
      "search '...'",
      'search nothing',
      'show 1',
      'show first',
      'remove 0',
      'edit 5 text',
      'tag',
      'add -t a,b text',
      "add ' '",
      'import',
      'import /nowhere',
      'import /bad',
      'import /worse',
      "add 'open",
      'frobnicate',
      'list',
    ),
    exit: { reason: 'exit', code: 1 },
  }),
  agent('notes', 'read_only', {
    mounts: { '/': { type: 'memory', rights: 'ro', files: { 'notes/1.txt': 'A note\n' } } },
    stdin: lines('search note', 'add another', 'edit 1 otherwise', 'remove 1', 'show 1'),
    exit: { reason: 'exit', code: 1 },
  }),
  agent('notes', 'nowhere', { args: ['add', 'text'], exit: { reason: 'exit', code: 1 } }),
  agent('notes', 'help', { args: ['--help'] }),
  agent('notes', 'misused', { args: ['edit'], exit: { reason: 'exit', code: 2 } }),
  // Three runs on one tree; between them another program changes a note.
  agent('notes', 'kept', { grants: ['opfs,name=notes'], args: ['import'], stdin: exported, hosts: stored }),
  agent('notes', 'kept_found', { grants: ['opfs,name=notes'], args: ['search', 'tomatoes'], hosts: stored }),
  {
    ...agent('explorer', '', { grants: ['opfs,name=notes'], args: ['-c', 'cd /cap/storage/opfs/notes; ls; echo Cherries > 2.txt'], hosts: stored }),
    name: 'notes_kept_changed',
  },
  agent('notes', 'kept_stale', {
    grants: ['opfs,name=notes'],
    stdin: lines('search tomatoes', 'search cherries', 'remove 1 2 3', 'list'),
    hosts: stored,
    exit: { reason: 'exit', code: 1 },
  }),
  // What a command has answered to is kept, however the agent ends.
  agent('notes', 'killed', {
    grants: ['opfs,name=notes-killed'],
    dialogue: [{ until: '', send: lines('add first') }, { until: '1  first', send: lines('add second', 'tag 1 kept', 'edit 2 other') }, { until: '2  other', kill: true }],
    hosts: stored,
    exit: { reason: 'killed' },
  }),
  agent('notes', 'killed_kept', { waits: true, grants: ['opfs,name=notes-killed'], stdin: lines('list', 'search other', 'remove 1 2'), hosts: stored }),
  agent('notes', 'full', {
    grants: ['opfs,name=notes-full,quota=64KiB'],
    stdin: lines('add first', 'add second', 'search first', `edit 1 ${'long '.repeat(12_000)}`, `add ${'long '.repeat(12_000)}`, 'show 1 2', 'list', 'remove 1 2'),
    hosts: stored,
    exit: { reason: 'exit', code: 1 },
  }),
  agent('nostr', 'key', { ...nostr, args: ['key'] }),
  agent('nostr', 'post', { ...nostr, args: ['post', '--relay', '{relay}', 'grüße', '"quoted"', 'and \\ more'] }),
  agent('nostr', 'read', { ...nostr, args: ['read', '--relay', '{relay}', '--author', 'me', '--relay', '{relay}'] }),
  agent('nostr', 'follow', { ...nostr, args: ['follow', '--relay', '{relay}', '--author', 'me', '--limit', '1', '--timeout', '1'] }),
  agent('nostr', 'post_input', { ...nostr, args: ['post', '--relay', '{relay}'], stdin: 'two lines\n\tand a tab\n' }),
  agent('nostr', 'key_delete', { ...nostr, args: ['key', 'delete'] }),
  agent('nostr', 'key_gone', { ...nostr, ...failed, args: ['key', 'delete'] }),
  misread('genuine', { exit: undefined }),
  misread('forged', { exit: undefined }),
  misread('cut', { hosts: ['native', 'chromium', 'webkit'] }),
  misread('hangup'),
  misread('silent', { args: ['read', '--relay', '{hostile-relay}/silent', '--timeout', '1'] }),
  misread('nonsense'),
  misread('large'),
  misread('closed'),
  misread('flood'),
  misread('follow_hangup', { args: ['follow', '--relay', '{hostile-relay}/hangup'] }),
  agent('nostr', 'post_refused', { ...nostr, ...hostile, ...failed, grants: ['ws,origin={hostile-relay}', 'crypto'], args: ['post', '--relay', '{hostile-relay}/refuse', 'x'] }),
  agent('nostr', 'post_hangup', { ...nostr, ...hostile, ...failed, grants: ['ws,origin={hostile-relay}', 'crypto'], args: ['post', '--relay', '{hostile-relay}/hangup', 'x'] }),
  agent('nostr', 'other_origin', { ...hostile, ...failed, args: ['read', '--relay', 'wss://elsewhere.example'] }),
  agent('nostr', 'not_kept', { ...hostile, ...failed, waits: true, args: ['key'], grants: ['crypto,persist=no'] }),
  agent('nostr', 'without_ws', { grants: ['crypto,persist=no'], ...failed, args: ['read', '--relay', 'wss://relay.example'] }),
  agent('nostr', 'without_crypto', { ...failed, args: ['key'] }),
  agent('nostr', 'help', { args: ['--help'] }),
  agent('nostr', 'misused', { args: ['read', '--relay', 'wss://relay.example', '--author', 'nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe5'], exit: { reason: 'exit', code: 2 } }),
]
