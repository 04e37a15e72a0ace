/** Grants: turns what a page writes into the list of keys and values that the kernel reads. */
import { CapfsError } from '../../both/errors.js';
import type { Grant } from '../../both/types.js';

/** Characters of a key in a message, at most. */
const SHOWN_MAX = 80;

/** The device and its terms, which alternate keys and values. */
export function grantPairs(grant: Grant): [device: string, terms: string[]] {
  if (typeof grant === 'string') return fromFlag(grant);
  const { device, ...terms } = grant;
  for (const key of Object.keys(terms)) {
    if (/^[a-z0-9-]+$/.test(key)) continue;
    const near = key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`).replaceAll('_', '-');
    const meant = near !== key && /^[a-z0-9-]+$/.test(near) ? `; is ${near} meant?` : '';
    // A name in an object is no part of a value that was to stay secret.
    throw new CapfsError('GRANT_INVALID', `${device}: there is no term ${JSON.stringify(key.slice(0, SHOWN_MAX))}: terms are lower-case, with dashes${meant}`);
  }
  const pairs = Object.entries(terms).flatMap(([key, value]) => {
    const values = value === undefined ? [] : Array.isArray(value) ? value : [value];
    return values.flatMap((each) => [key, String(each)]);
  });
  return [device, pairs];
}

/** `DEVICE[,KEY=VALUE]…`, with a backslash before a comma or a backslash inside a value. */
function fromFlag(flag: string): [device: string, terms: string[]] {
  const parts = [''];
  for (let at = 0; at < flag.length; at++) {
    const character = flag[at]!;
    if (character === ',') parts.push('');
    else parts[parts.length - 1] += character === '\\' ? (flag[++at] ?? '\\') : character;
  }
  const [device, ...terms] = parts as [string, ...string[]];
  const pairs = terms.flatMap((term) => {
    const equals = term.indexOf('=');
    if (equals < 1) throw new CapfsError('GRANT_INVALID', 'expected KEY=VALUE: a comma inside of a value has a backslash before it');
    return [term.slice(0, equals), term.slice(equals + 1)];
  });
  return [device, pairs];
}
