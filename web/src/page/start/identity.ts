/**
 * An agent's identity, under which keys, databases and stored files are kept and found again. The name of the program's file is none, as anybody can use
 * the same name.
 */
import { KEEPING } from '../../both/devices.js';
import { CapfsError } from '../../both/errors.js';

/** An identity that a page gives. */
const ID = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$/;

/**
 * Checks an identity that was given.
 *
 * @throws CapfsError `OPTION_INVALID`
 */
export function checkId(id: string): string {
  if (!ID.test(id) || id.endsWith('.wasm')) {
    const wanted = '1 to 64 letters, digits, ".", "_" and "-", with no "." in front, and no name of a file';
    throw new CapfsError('OPTION_INVALID', `an id is ${wanted}, not ${JSON.stringify(id)}`);
  }
  return id;
}

/**
 * The identity of a program for which the page names none: the digest of its bytes, `sha256:` and hexadecimal digits.
 *
 * @throws CapfsError `GRANT_INVALID` where there is nothing to make it with
 */
export async function digestOf(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const subtle = globalThis.crypto?.subtle as SubtleCrypto | undefined;
  if (!subtle) {
    const why = 'a page that is not from https or localhost can make no digest';
    throw new CapfsError('GRANT_INVALID', `what an agent keeps is found by its identity, and ${why}: give the program an id`);
  }
  const digest = new Uint8Array(await subtle.digest('SHA-256', bytes));
  return `sha256:${[...digest].map((byte) => byte.toString(16).padStart(2, '0')).join('')}`;
}

/** Whether a device keeps things under the agent's identity: some do, unless the grant names an owner, or says that nothing is kept. */
export function findsByIdentity(device: string, terms: string[]): boolean {
  const keeping = KEEPING.get(device);
  if (!keeping || (keeping.in && !(keeping.in in globalThis))) return false;
  return !terms.some((key, at) => {
    const unless = at % 2 === 0 && keeping.unless.get(key);
    return unless && (unless.length === 0 || unless.includes(terms[at + 1] ?? ''));
  });
}
