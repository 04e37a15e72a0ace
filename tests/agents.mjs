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
  agent('explorer', 'devices', {
    grants: ['random'],
    mounts: { '/tmp': memory({}) },
    args: ['-c', 'ls /cap; head 1000 /cap/random > /tmp/bytes; ls -l /tmp; open 3 /cap/random; held; close 3; echo x > /cap/random'],
    exit: { reason: 'exit', code: 1 },
  }),
  agent('feeds', 'read', { ...feeds, args: ['read', '{feeds}/rss', '{feeds}/atom', '{feeds}/rss'] }),
  agent('feeds', 'errors', {
    ...feeds,
    args: ['read', '{feeds}/words', '{feeds}/cut', '{feeds}/nowhere', 'https://not-granted.example/', '{feeds}/atom'],
    exit: { reason: 'exit', code: 1 },
  }),
  agent('feeds', 'not_granted', { args: ['add', 'https://a.example/'], mounts: { '/': memory({}) }, exit: { reason: 'exit', code: 1 } }),
  agent('feeds', 'usage', { args: ['frobnicate'], mounts: { '/': memory({}) }, exit: { reason: 'exit', code: 1 } }),
]
