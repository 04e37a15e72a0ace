/** The capabilities that the page can grant: their terms, and what each grant means in words for people. */
import type { DeviceName } from 'capfs';
import { DESCRIBED } from './described.js';
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
  /** A new grant begins with this value, in which `{http-origin}` and `{ws-origin}` are the page's own server. */
  readonly start?: string;
  /** What some values are called in a sentence; the empty text is for none. */
  readonly words?: Readonly<Record<string, string>>;
}

/** What the page says about a device. */
export interface DeviceInfo {
  readonly name: DeviceName;
  /** Where it appears unless the grant says otherwise. */
  readonly path: string;
  /** What it is, for the list of what can be granted. */
  readonly about: string;
  /** What an agent may do, behind “It may”; see sentence.ts. */
  readonly may: string;
  /** Whether natively nobody has it. */
  readonly onPageAlone: boolean;
  /** That it keeps things, natively in a folder, unless a term has this value. */
  readonly keepsUnless?: Readonly<Record<string, string>>;
  readonly terms: readonly TermInfo[];
}

const AT: TermInfo = { key: 'at', label: 'where it appears', example: '/cap/other' };

/** In the order in which they are offered. */
export const DEVICES: readonly DeviceInfo[] = DESCRIBED.map((device) => ({ ...device, terms: [...device.terms, AT] }));

/** What the page knows of a device. */
export function deviceInfo(name: string): DeviceInfo | undefined {
  return DEVICES.find((device) => device.name === name);
}

/** The terms that a new grant of a device begins with. */
export function startOf({ terms }: DeviceInfo): Term[] {
  const origins: Readonly<Record<string, string>> = { '{http-origin}': location.origin, '{ws-origin}': location.origin.replace(/^http/, 'ws') };
  return terms.flatMap(({ key, start }) => (start === undefined ? [] : [{ key, value: origins[start] ?? start }]));
}
