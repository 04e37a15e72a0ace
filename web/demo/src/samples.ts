/**
 * The programs that the page offers. Those under `langs/` come from `node_modules`, and those in C need a compiler
 * for WASI when the page is built: the page asks for each whether it is there.
 */

/** A program with everything that a start of it needs. */
export interface Sample {
  readonly id: string;
  readonly title: string;
  /** What it is written in. */
  readonly language: string;
  /** A line or two on what it is and what to try. */
  readonly about: string;
  /** Address relative to the page. */
  readonly program: string;
  /** `argv[0]`. */
  readonly name: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Capabilities, as flags; none unless told. The page's own address may be in them. */
  readonly grants?: () => readonly string[];
  /** Address of a tar.gz that is laid under the agent's own files at `/`. */
  readonly archive?: string;
  /** Further files of its `/`, by their addresses relative to the page. */
  readonly fetched?: Readonly<Record<string, string>>;
  /** Text files that the agent's `/` has at the start. */
  readonly files?: Readonly<Record<string, string>>;
  /** A line shown in the terminal before the program's own output. */
  readonly hint?: string;
}

const NOTES_SQL = `create table stars(name text, ly real);
insert into stars values ('Proxima Centauri', 4.25), ('Sirius', 8.6), ('Vega', 25.0);
select name, ly from stars order by ly desc;
`;

const COUNT_PY = `import os
for folder, _, files in os.walk('/usr/local/lib'):
    print(f'{len(files):5} files in {folder}')
`;

const WALK_JS = `for (let i = 1; i <= 20; i++)
  print(i % 15 === 0 ? 'FizzBuzz' : i % 5 === 0 ? 'Buzz' : i % 3 === 0 ? 'Fizz' : i);
`;

const START = `cat /task/new/wasi
echo /bin/tree.wasm /cap > /task/1/cmd
echo bind /cap /cap > /task/1/ctl
echo start > /task/1/ctl
cat /task/1/fd/1 /task/1/wait
`;

/** A public relay; any other does as well. */
const RELAY = 'wss://relay.damus.io';

/** In the order in which the page shows them. */
export const SAMPLES: readonly Sample[] = [
  {
    id: 'hello',
    title: 'Hello',
    language: 'Rust',
    about: 'Prints its arguments, environment and files, and ends.',
    program: 'agents/hello.wasm',
    name: 'hello',
    args: ['from', 'a', 'tab'],
    env: { PLACE: 'a worker' },
    files: { 'note.txt': 'This file is in the namespace of one agent.\n' },
  },
  {
    id: 'explorer',
    title: 'Explorer',
    language: 'Rust',
    about: 'A shell over the files: ls, cat, echo >. The capabilities are files too, below /cap.',
    program: 'agents/explorer.wasm',
    name: 'explorer',
    args: [],
    env: {},
    grants: () => ['random', `fetch,origin=${location.origin}`, 'opfs', 'console'],
    files: { 'readme.txt': 'What was granted is below /cap; each device has a file policy.\n' },
    hint: 'Try: ls /cap, xd /cap/random 64, echo hello > /cap/storage/opfs/greeting',
  },
  {
    id: 'tasks',
    title: 'Tasks',
    language: 'Rust',
    about: 'The explorer starts another program by the files of /task. What it hands on is what it has itself: here /cap.',
    program: 'agents/explorer.wasm',
    name: 'explorer',
    args: [],
    env: {},
    grants: () => ['task,children=4', 'random'],
    fetched: { 'bin/tree.wasm': 'agents/tree.wasm' },
    files: { 'start.txt': START },
    hint: 'Try: cat start.txt, then what it says, line by line.',
  },
  {
    id: 'feeds',
    title: 'Feeds',
    language: 'Rust',
    about: 'Reads a feed by /cap/fetch, keeps it in this browser, and shows it on a part of this page.',
    program: 'agents/feeds.wasm',
    name: 'feeds',
    args: ['page', new URL('feed.xml', document.baseURI).href],
    env: {},
    grants: () => [`fetch,origin=${location.origin}`, 'opfs', 'dom'],
  },
  {
    id: 'notes',
    title: 'Notes',
    language: 'Rust',
    about: 'Keeps notes in this browser, and finds them by what is in them. They are there again tomorrow.',
    program: 'agents/notes.wasm',
    name: 'notes',
    args: [],
    env: {},
    grants: () => ['opfs,quota=16MiB'],
    hint: 'Try: add -t home buy milk and bread, then search milk',
  },
  {
    id: 'nostr',
    title: 'Nostr',
    language: 'Rust',
    about: 'Reads and posts notes on a relay by /cap/ws. Its key is made and kept by /cap/crypto: it signs, and never sees it.',
    program: 'agents/nostr.wasm',
    name: 'nostr',
    args: ['read', '--relay', RELAY, '--limit', '10'],
    env: {},
    grants: () => [`ws,origin=${RELAY}`, 'crypto,algorithm=schnorr-secp256k1'],
    hint: `Other arguments: key; post --relay ${RELAY} 'Hello from a tab'`,
  },
  {
    id: 'websum',
    title: 'Websum',
    language: 'C',
    about: 'Digests of what URLs answer with: asked for by /cap/fetch, hashed by /cap/crypto. The last server was not granted.',
    program: 'agents/websum.wasm',
    name: 'websum',
    args: [new URL('feed.xml', document.baseURI).href, new URL('agents/websum.wasm', document.baseURI).href, 'https://example.com/'],
    env: {},
    grants: () => [`fetch,origin=${location.origin}`, 'crypto,persist=no'],
  },
  {
    id: 'lines',
    title: 'Lines',
    language: 'C',
    about: 'Numbers the lines that you type. Ctrl+D ends the input.',
    program: 'agents/lines.wasm',
    name: 'lines',
    args: [],
    env: {},
  },
  {
    id: 'python',
    title: 'Python 3.11',
    language: 'C',
    about: 'The interpreter and its library from an archive. Try import this.',
    program: 'langs/python-3.11.3.wasm',
    name: 'python',
    args: [],
    env: { PYTHONHOME: '/usr/local' },
    archive: 'langs/python-3.11.3.tar.gz',
    files: { 'count.py': COUNT_PY },
    hint: "Try: exec(open('/count.py').read())",
  },
  {
    id: 'sqlite',
    title: 'SQLite',
    language: 'C',
    about: 'The shell. Its database is a file in the namespace.',
    program: 'langs/sqlite.wasm',
    name: 'sqlite',
    args: ['/stars.db'],
    env: {},
    files: { 'stars.sql': NOTES_SQL },
    hint: 'Try: .read /stars.sql',
  },
  {
    id: 'quickjs',
    title: 'QuickJS',
    language: 'C',
    about: 'WasmEdge’s build. Runs the script that its arguments name.',
    program: 'langs/wasmedge_quickjs.wasm',
    name: 'quickjs',
    args: ['/fizzbuzz.js'],
    env: {},
    files: { 'fizzbuzz.js': WALK_JS },
  },
];

/** What a server has of the files that may be absent, asked once each. */
const present = new Map<string, Promise<boolean>>();

/** Whether the page's server has this file; asked with `HEAD`, so nothing is loaded. */
export function isServed(address: string): Promise<boolean> {
  let answer = present.get(address);
  if (!answer) {
    answer = fetch(address, { method: 'HEAD' }).then(
      (response) => response.ok,
      () => false,
    );
    present.set(address, answer);
  }
  return answer;
}
