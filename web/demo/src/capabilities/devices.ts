/** The capabilities that the page can grant: their terms, and what each grant means in words for people. */
import type { DeviceName, GrantTerms } from 'capfs';
import type { Term } from './grant.js';

/** One term of a device, for the form. */
export interface TermInfo {
  readonly key: string;
  /** What it is, in a few words. */
  readonly label: string;
  /** A value that a new one begins with. */
  readonly example: string;
  /** The values that there are, where they can be listed. */
  readonly choices?: readonly string[];
  /** It may be given several times. */
  readonly repeats?: boolean;
  /** A page can't keep to it, so that it is not offered. */
  readonly nativeAlone?: boolean;
}

/** A part of a sentence; a value that the grant says is set apart. */
export type Words = string | { readonly value: string };

/** What the page says about a device. */
export interface DeviceInfo {
  readonly name: DeviceName;
  /** Where it appears unless the grant says otherwise. */
  readonly path: string;
  /** What it is, for the list of what can be granted. */
  readonly about: string;
  readonly terms: readonly TermInfo[];
  /** Terms that a new grant begins with. */
  readonly start?: () => Term[];
  /** What an agent with these terms may do, behind “It may”. */
  readonly says: (terms: Values) => Words[];
}

/** The values of a grant's terms by key. */
export class Values {
  constructor(private readonly terms: readonly Term[]) {}

  all(key: string): string[] {
    return this.terms.filter((term) => term.key === key).map(({ value }) => value);
  }

  /** The last value, or what holds where there is none. */
  one(key: string, otherwise = ''): string {
    return this.all(key).at(-1) ?? otherwise;
  }

  no(key: string): boolean {
    return ['no', 'false'].includes(this.one(key));
  }

  yes(key: string): boolean {
    return ['yes', 'true'].includes(this.one(key));
  }
}

/** The terms of a device in the package's types, so that one that is misspelt here does not compile. */
type TermOf<Name extends DeviceName> = Exclude<keyof Extract<GrantTerms, { device: Name }>, 'device' | 'at'> & string;

const AT: TermInfo = { key: 'at', label: 'where it appears', example: '/cap/other' };
const YES_NO = ['yes', 'no'] as const;

function device<Name extends DeviceName>(
  info: Omit<DeviceInfo, 'name' | 'terms'> & { name: Name; terms: Record<TermOf<Name>, Omit<TermInfo, 'key'>> },
): DeviceInfo {
  const terms = Object.entries<Omit<TermInfo, 'key'>>(info.terms).map(([key, term]) => ({ key, ...term }));
  return { ...info, terms: [...terms, AT] };
}

/** Values with words between them: `A`, `A and B`, `A, B and C`. */
function listed(values: readonly string[]): Words[] {
  return values.flatMap((value, index) => {
    const joint = index === 0 ? [] : [index === values.length - 1 ? ' and ' : ', '];
    return [...joint, { value }];
  });
}

function servers(origins: readonly string[]): Words[] {
  if (origins.length === 0) return ['a server that is still to be named'];
  return origins.includes('*') ? ['every public server'] : listed(origins);
}

/** A limit as a clause, if the grant has one. */
function limit(before: string, value: string, after = ''): Words[] {
  return value === '' ? [] : [before, { value }, after];
}

const NETWORK = { label: 'addresses that are not public, natively', example: '10.0.0.0/8', repeats: true };
const HEADER = { label: 'a header that the host adds, unseen by the agent', example: 'https://example.com authorization: Bearer KEY', repeats: true };

/** In the order in which they are offered. */
export const DEVICES: readonly DeviceInfo[] = [
  device({
    name: 'fetch',
    path: '/cap/fetch',
    about: 'HTTP requests',
    terms: {
      origin: { label: 'a server it may ask', example: 'https://example.com', repeats: true },
      method: { label: 'a method it may use', example: 'POST', repeats: true },
      'max-body': { label: 'bytes of an answer', example: '10MiB' },
      'max-request': { label: 'bytes of a request', example: '64KiB' },
      rate: { label: 'requests in a time', example: '20/s' },
      concurrency: { label: 'requests at once', example: '4' },
      timeout: { label: 'time an answer may take', example: '10s' },
      redirect: { label: 'redirects', example: 'manual', choices: ['follow', 'manual'] },
      header: HEADER,
      network: NETWORK,
    },
    start: () => [{ key: 'origin', value: location.origin }],
    says: (terms) => {
      const methods = terms.all('method');
      return [
        'send ',
        ...(methods.includes('*') ? ['any'] : listed(methods.length > 0 ? methods : ['GET', 'HEAD'])),
        ' requests to ',
        ...servers(terms.all('origin')),
        ...limit(', ', terms.one('rate')),
        ...limit(', ', terms.one('concurrency'), ' at once'),
        ...limit(', answers up to ', terms.one('max-body')),
      ];
    },
  }),
  device({
    name: 'ws',
    path: '/cap/ws',
    about: 'WebSocket connections',
    terms: {
      origin: { label: 'a server it may connect to', example: 'wss://example.com', repeats: true },
      'max-message': { label: 'bytes of a message', example: '64KiB' },
      connections: { label: 'connections at once', example: '1' },
      timeout: { label: 'time a handshake may take', example: '10s' },
      header: { ...HEADER, nativeAlone: true },
      network: NETWORK,
    },
    start: () => [{ key: 'origin', value: location.origin.replace(/^http/, 'ws') }],
    says: (terms) => ['hold ', ...limit('', terms.one('connections', '16')), ' WebSocket connections to ', ...servers(terms.all('origin')), ...limit(', messages up to ', terms.one('max-message'))],
  }),
  device({
    name: 'crypto',
    path: '/cap/crypto',
    about: 'keys it never sees, digests',
    terms: {
      algorithm: {
        label: 'an algorithm it may use',
        example: 'ed25519',
        choices: ['ed25519', 'ecdsa-p256', 'schnorr-secp256k1', 'hmac-sha256', 'aes-gcm', 'hkdf', 'x25519'],
        repeats: true,
      },
      keys: { label: 'keys at most', example: '4' },
      persist: { label: 'whether keys can be kept', example: 'no', choices: YES_NO },
      import: { label: 'whether secrets can be imported', example: 'no', choices: YES_NO },
      name: { label: 'whose keys they are', example: 'shared' },
    },
    says: (terms) => [
      'hash, and make and use up to ',
      { value: terms.one('keys', '64') },
      ' keys ',
      ...(terms.all('algorithm').length > 0 ? ['for ', ...listed(terms.all('algorithm')), ' '] : []),
      'that never leave ',
      terms.no('persist') ? 'and are forgotten at its end' : 'this browser',
    ],
  }),
  device({
    name: 'opfs',
    path: '/cap/storage/opfs',
    about: 'files that stay in this browser',
    terms: {
      quota: { label: 'bytes they may take', example: '64MiB' },
      rights: { label: 'what it may do with them', example: 'ro', choices: ['ro', 'rw'] },
      name: { label: 'whose files they are', example: 'shared' },
      repair: { label: 'opens a damaged tree', example: 'yes', choices: YES_NO },
    },
    says: (terms) => {
      const whose = limit(', those of ', terms.one('name'));
      if (terms.one('rights') === 'ro') return ['read files that stay in this browser', ...whose];
      return ['keep up to ', { value: terms.one('quota', '1GiB') }, ' of files in this browser', ...whose];
    },
  }),
  device({
    name: 'indexeddb',
    path: '/cap/storage/indexeddb',
    about: 'databases that stay in this browser',
    terms: {
      databases: { label: 'databases at most', example: '2' },
      quota: { label: 'bytes each may take', example: '1MiB' },
      name: { label: 'whose databases they are', example: 'shared' },
    },
    says: (terms) => ['keep up to ', { value: terms.one('databases', '16') }, ' databases of ', { value: terms.one('quota', '64MiB') }, ' in this browser', ...limit(', those of ', terms.one('name'))],
  }),
  device({
    name: 'dom',
    path: '/cap/dom',
    about: 'a part of this page',
    terms: {
      html: { label: 'markup', example: 'safe', choices: ['safe', 'raw'] },
      elements: { label: 'elements at most', example: '100' },
      load: { label: 'where pictures may come from', example: 'https://example.com', repeats: true },
      cleanup: { label: 'what it added goes when it ends', example: 'no', choices: YES_NO },
    },
    says: (terms) => [
      'draw in a box on this page, and hear what is pressed and typed there',
      ...(terms.all('load').length > 0 ? [', with pictures from ', ...servers(terms.all('load'))] : []),
      terms.one('html') === 'raw' ? '; scripts included: whatever this page can, it can' : '',
      terms.no('cleanup') ? '; what it drew stays' : '',
    ],
  }),
  device({
    name: 'console',
    path: '/cap/console',
    about: 'keys as they are typed, messages',
    terms: {
      input: { label: 'whether it can be read', example: 'no', choices: YES_NO },
      raw: { label: 'whether it gets each key', example: 'no', choices: YES_NO },
      messages: { label: 'whether it takes messages', example: 'no', choices: YES_NO },
    },
    says: (terms) => {
      const able = [
        terms.no('input') ? '' : terms.no('raw') ? 'read what you type here, by lines' : 'read what you type here, key by key',
        terms.no('messages') ? 'write to it' : 'write to it and leave messages',
      ].filter(Boolean);
      return [able.join(', ').replace(/^write to it/, 'write to its terminal')];
    },
  }),
  device({ name: 'random', path: '/cap/random', about: 'random bytes', terms: {}, says: () => ['read random bytes without end'] }),
  device({
    name: 'task',
    path: '/task',
    about: 'child agents',
    terms: { children: { label: 'children at once', example: '4' } },
    says: (terms) => ['start up to ', { value: terms.one('children', '64') }, ' agents, and hand them what it has itself'],
  }),
];

/** What the page knows of a device. */
export function deviceInfo(name: string): DeviceInfo | undefined {
  return DEVICES.find((device) => device.name === name);
}
