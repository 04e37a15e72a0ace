/** A grant as the page edits it, read from and written to the flag that it is everywhere else. */
import { DEVICES } from './devices.js';

/** A key and its value, both as written. */
export interface Term {
  key: string;
  value: string;
}

/** A device and its terms, `at` among them, in the order in which they were written. */
export interface GrantDraft {
  readonly device: string;
  readonly terms: Term[];
}

/** Reads `DEVICE[,KEY=VALUE]…`, in which a backslash stands before a comma or a backslash inside a value. */
export function readGrant(flag: string): GrantDraft {
  const parts = [''];
  for (let at = 0; at < flag.length; at++) {
    const character = flag.charAt(at);
    if (character === ',') parts.push('');
    else parts[parts.length - 1] += character === '\\' ? flag.charAt(++at) || '\\' : character;
  }
  const [device = '', ...terms] = parts;
  return {
    device,
    terms: terms.map((term) => {
      const equals = term.indexOf('=');
      return equals < 0 ? { key: term, value: '' } : { key: term.slice(0, equals), value: term.slice(equals + 1) };
    }),
  };
}

/** The flag that {@link readGrant} reads as the same grant. */
export function writeGrant({ device, terms }: GrantDraft): string {
  return [device, ...terms.map(({ key, value }) => `${key}=${value.replaceAll(/[\\,]/g, '\\$&')}`)].join(',');
}

/** Where a grant appears: its `at`, or the device's usual place. */
export function placeOf({ device, terms }: GrantDraft): string {
  return terms.findLast(({ key }) => key === 'at')?.value ?? DEVICES.find(({ name }) => name === device)?.path ?? device;
}
