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
]
