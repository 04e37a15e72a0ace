import type { DeviceName, Grant, GrantTerms, SpawnOptions } from 'capfs';

/** Each term of each device, as the documentation has it. */
export const all: readonly Grant[] = [
  'random',
  'fetch,origin=https://example.com,max-body=10MiB',
  {
    device: 'fetch',
    at: '/cap/web',
    origin: ['https://example.com', 'https://*.example.org:8443'],
    method: '*',
    'max-body': '10MiB',
    'max-request': 65536,
    rate: '20/s',
    concurrency: 4,
    timeout: '10s',
    header: 'https://example.com authorization: Bearer x',
    redirect: 'manual',
    network: ['10.0.0.0/8'],
  },
  { device: 'ws', origin: '*', 'max-message': '1.5MiB', connections: 2, timeout: 500, header: [], network: '::1/128' },
  { device: 'crypto', algorithm: ['ed25519', 'schnorr-secp256k1'], keys: 3, persist: 'no', name: 'notes', import: false },
  { device: 'opfs', name: 'notes', quota: '64MiB', rights: 'ro', repair: true },
  { device: 'indexeddb', databases: '2', quota: '1GiB', name: 'notes' },
  { device: 'dom', html: 'safe', elements: 500, load: 'https://example.com', cleanup: 'yes' },
  { device: 'console', input: true, raw: 'no', messages: 'yes' },
  { device: 'random', at: '/dev/random' },
  { device: 'counter', counters: 8, rights: 'ro' },
  { device: 'task', children: 8 },
];

/** What doesn't compile: a line that did would be reported. */
export const wrong: readonly Grant[] = [
  // @ts-expect-error there is no such device
  { device: 'floppy' },
  // @ts-expect-error it needs an origin
  { device: 'fetch' },
  // @ts-expect-error a term that was misspelt
  { device: 'fetch', origin: '*', 'max-bodies': '1MiB' },
  // @ts-expect-error a term of another device
  { device: 'ws', origin: '*', method: 'GET' },
  // @ts-expect-error no unit
  { device: 'fetch', origin: '*', 'max-body': '10 megabytes' },
  // @ts-expect-error no rate
  { device: 'fetch', origin: '*', rate: 20 },
  // @ts-expect-error a header without its origin
  { device: 'fetch', origin: '*', header: 'authorization: x' },
  // @ts-expect-error no such choice
  { device: 'fetch', origin: '*', redirect: 'always' },
  // @ts-expect-error no such algorithm
  { device: 'crypto', algorithm: 'rsa' },
  // @ts-expect-error it counts, it does not measure
  { device: 'indexeddb', databases: '1MiB' },
  // @ts-expect-error no such rights
  { device: 'opfs', rights: 'all' },
  // @ts-expect-error yes or no
  { device: 'console', raw: 'perhaps' },
  // @ts-expect-error it has no terms
  { device: 'random', origin: '*' },
];

/** What a program reads out of grants. */
export function devices(options: SpawnOptions): DeviceName[] {
  const objects = (options.grants ?? []).filter((grant): grant is GrantTerms => typeof grant !== 'string');
  return objects.map((grant) => (grant.device === 'fetch' && grant.redirect === 'manual' ? 'fetch' : grant.device));
}
