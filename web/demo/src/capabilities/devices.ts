/** The capabilities that the page can grant, in words for people, and the parts of a grant. */
import type { DeviceName } from 'capfs';

/** What the page says about a device. */
export interface DeviceInfo {
  readonly name: DeviceName;
  /** Where it appears unless the grant says otherwise. */
  readonly path: string;
  /** What an agent can do with it. */
  readonly about: string;
  /** Terms that a new grant begins with. */
  readonly terms: () => string;
}

const none = (): string => '';

/** In the order in which they are offered. `task` takes a namespace to start children in, which the page has no use for. */
export const DEVICES: readonly DeviceInfo[] = [
  { name: 'fetch', path: '/cap/fetch', about: 'HTTP requests to these origins', terms: () => `origin=${location.origin}` },
  { name: 'ws', path: '/cap/ws', about: 'WebSocket connections to these origins', terms: () => `origin=${location.origin.replace(/^http/, 'ws')}` },
  { name: 'crypto', path: '/cap/crypto', about: 'Keys that never leave, digests, random bytes', terms: none },
  { name: 'opfs', path: '/cap/storage/opfs', about: 'Files that stay in this browser', terms: none },
  { name: 'indexeddb', path: '/cap/storage/indexeddb', about: 'Databases that stay in this browser', terms: none },
  { name: 'dom', path: '/cap/dom', about: 'A part of this page, above its terminal', terms: none },
  { name: 'console', path: '/cap/console', about: 'Keys as they are typed, messages', terms: none },
  { name: 'random', path: '/cap/random', about: 'Random bytes', terms: none },
];

/** The device and the terms of a grant that is written as a flag. */
export function splitGrant(flag: string): [device: string, terms: string] {
  const comma = flag.indexOf(',');
  return comma < 0 ? [flag, ''] : [flag.slice(0, comma), flag.slice(comma + 1)];
}

/** The flag of a device with terms. */
export function joinGrant(device: string, terms: string): string {
  const trimmed = terms.trim();
  return trimmed === '' ? device : `${device},${trimmed}`;
}

/** Where a grant appears: its `at`, or the device's usual place. */
export function placeOf(flag: string): string {
  const [device, terms] = splitGrant(flag);
  // A comma or a backslash inside a value has a backslash before it.
  for (const [term] of terms.matchAll(/(?:\\.|[^,\\])+/g)) {
    if (term.startsWith('at=')) return term.slice(3).replace(/\\(.)/g, '$1');
  }
  return DEVICES.find(({ name }) => name === device)?.path ?? device;
}

/** What a device is for; empty for one that the page doesn't know. */
export function about(device: string): string {
  return DEVICES.find(({ name }) => name === device)?.about ?? '';
}
