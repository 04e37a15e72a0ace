/**
 * Reads options before anything is done with them. Unknown options and invalid values are refused by name. Each option is read once, into a copy, and only the
 * copy is checked and used: getters that answer differently each time, or changes while a start waits, have no effect.
 */
import { CapfsError, messageOf } from '../../both/errors.js';
import type { CapfsOptions, Data, Grant, KillOptions, Limits, Mount, ReadOptions, SpawnOptions } from '../../both/types.js';
import { isUnshared, viewOf } from '../bytes.js';
import { isAddress, isSignal, isStream } from '../realms.js';

/** Checks a value and returns it, copied as far as others could change it. Throws what it must be where it isn't. */
type Reader = (value: unknown, at: string) => unknown;
/** A reader for each known option; `undefined` counts as left out. */
type Readers<Options> = { [Name in keyof Required<Options>]: Reader };

/** Columns and rows of a screen, at most: what a terminal's `winsize` holds. */
const SCREEN_MAX = 65_535;
/** Where an option is that is in no other option. */
const THE_OPTIONS = 'the options';
/** Characters of a value in a message, at most. */
const SHOWN_MAX = 80;

/** A value as a message shows it. */
function shown(value: unknown): string {
  let text: string;
  if (typeof value === 'string') text = JSON.stringify(value);
  else if (typeof value === 'function') text = 'a function';
  else if (Array.isArray(value)) text = 'an array';
  else if (typeof value === 'object' && value !== null) {
    const name = (Object.getPrototypeOf(value) as { constructor?: { name?: unknown } } | null)?.constructor?.name;
    text = typeof name === 'string' && name !== 'Object' ? `a ${name}` : 'an object';
  } else text = String(value);
  return text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}…` : text;
}

function refuse(at: string, wanted: string, value: unknown): never {
  throw new CapfsError('OPTION_INVALID', `${at} must be ${wanted}, not ${shown(value)}`);
}

const must =
  (wanted: string, holds: (value: unknown) => boolean): Reader =>
  (value, at) => (holds(value) ? value : refuse(at, wanted, value));

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * Whether a value can be an object of options or of things by name. That isn't only plain objects (an element's `dataset` is one too). Objects without
 * properties of their own that are something else, such as a Map or a promise, are refused: they would pass for an empty object.
 */
function holdsByName(value: unknown): value is Record<string, unknown> {
  if (!isObject(value) || Symbol.iterator in value) return false;
  return Object.prototype.toString.call(value) === '[object Object]' || Object.keys(value).length > 0;
}

/** A lone surrogate can't be written in UTF-8: it would become U+FFFD, which is another text than was given. */
const LONE = /\p{Surrogate}/u;

const isText = (value: unknown): value is string => typeof value === 'string' && !value.includes('\0') && !LONE.test(value);

const flag = must('true or false', (value) => typeof value === 'boolean');
const text = must('a string without NUL and lone surrogates', isText);
const callback = must('a function', (value) => typeof value === 'function');
const anyOf = (...names: string[]): Reader => must(names.map((name) => `'${name}'`).join(' or '), (value) => names.includes(value as string));
const whole = (least: number, most: number): Reader =>
  must(`a whole number from ${least} to ${most}`, (value) => Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most);
const limit = (unit: string): Reader =>
  must(`a whole number of ${unit} that is at least 1, or Infinity`, (value) => value === Infinity || (Number.isSafeInteger(value) && (value as number) >= 1));

const listOf =
  (each: Reader): Reader =>
  (value, at) =>
    Array.isArray(value) ? Array.from(value as unknown[], (member, index) => each(member, `${at}[${index}]`)) : refuse(at, 'an array', value);

/** Reads an object of things by name, each by its name and value. */
const record =
  (wanted: string, each: (name: string, value: unknown, at: string) => unknown): Reader =>
  (value, at) => {
    if (!holdsByName(value)) return refuse(at, wanted, value);
    return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, each(name, member, at)]));
  };

/** Reads an object of options, inherited ones included. Functions in it are called as its methods. */
function options<Options>(readers: Readers<Options>): Reader {
  return (value, at) => {
    if (!holdsByName(value)) return refuse(at, 'an object', value);
    const given = value;
    const known = Object.keys(readers);
    for (const name of Object.keys(given)) {
      if (Object.hasOwn(readers, name)) continue;
      const near = known.find((other) => other.toLowerCase() === name.toLowerCase() || (name.length > 2 && (other.startsWith(name) || name.startsWith(other))));
      throw new CapfsError(
        'OPTION_INVALID',
        `${at === THE_OPTIONS ? 'there is' : `${at} has`} no option ${shown(name)}${near === undefined ? `; there are ${known.join(', ')}` : `; is ${near} meant?`}`,
      );
    }
    const copy: Record<string, unknown> = {};
    for (const name of known) {
      if (readers[name as keyof Options] === type) continue;
      const member = given[name];
      if (member === undefined) continue;
      const read = readers[name as keyof Options](member, at === THE_OPTIONS ? name : `${at}.${name}`);
      copy[name] = typeof read === 'function' ? (read as Function).bind(given) : read;
    }
    return copy;
  };
}

const rights = anyOf('ro', 'rw');

/** The names in a path. */
const namesOf = (path: string): string[] => path.split('/').filter((name) => name !== '' && name !== '.');

/** A path without `..`, which the names of mounts and of files in them must be. */
function path(value: unknown, at: string): string {
  if (!isText(value)) return refuse(at, 'a path: a string without NUL and lone surrogates', value);
  const names: string[] = [];
  for (const name of value.split('/')) {
    if (name === '..') names.pop();
    else if (name !== '' && name !== '.') names.push(name);
  }
  if (!value.split('/').includes('..')) return value;
  const meant = `${value.startsWith('/') ? '/' : ''}${names.join('/')}`;
  throw new CapfsError('OPTION_INVALID', `${at}: ${shown(value)} has .. in it, which no path here may have; write ${shown(meant || '.')}`);
}

/** Bytes of a name of a file, and of a path. */
const [NAME_MAX, PATH_MAX] = [255, 4096];

/** What is wrong with a path that is too long, or has a name in it that is. */
function tooLong(path: string): string | undefined {
  const length = (text: string) => new TextEncoder().encode(text).length;
  if (length(path) <= PATH_MAX && namesOf(path).every((name) => length(name) <= NAME_MAX)) return undefined;
  return `is longer than a name (${NAME_MAX} bytes) or a path (${PATH_MAX}) can be`;
}

/**
 * Checks that files can all exist: no path of one may be a directory of another. Their bytes are copied when they are loaded, before `spawn` waits for
 * anything.
 */
const files: Reader = (value, at) => {
  const read = record('an object of contents by path', (name, content, at) => readData(content as Data, `${at}[${shown(name)}]`));
  const contents = read(value, at) as Record<string, Uint8Array>;
  const invalid = (name: string, why: string) => new CapfsError('OPTION_INVALID', `${at}[${shown(name)}] ${why}`);
  const known = new Map<string, string>();
  for (const given of Object.keys(contents)) {
    path(given, at);
    const names = namesOf(given);
    if (names.length === 0 || /(^|\/)\.?$/.test(given)) throw invalid(given, 'is the name of a directory: a file has one of its own behind the last slash');
    const long = tooLong(given);
    if (long !== undefined) throw invalid(given, long);
    const same = known.get(names.join('/'));
    if (same !== undefined) throw invalid(given, `is the same file as ${shown(same)}`);
    known.set(names.join('/'), given);
  }
  for (const given of known.values()) {
    const names = namesOf(given);
    for (let count = 1; count < names.length; count += 1) {
      const file = known.get(names.slice(0, count).join('/'));
      if (file !== undefined) throw invalid(given, `lies in ${shown(file)}, which is a file`);
    }
  }
  return contents;
};

type MountOptions<Type extends Mount['type']> = Omit<Extract<Mount, { type: Type }>, 'type'>;
/** The type of a mount, which has been read before its other options. */
const type: Reader = () => undefined;
/** A copy of an address: a URL object may be changed later. */
const address = (value: string | URL): string => String(value);
const MOUNTS: { [Type in Mount['type']]: Reader } = {
  memory: options<MountOptions<'memory'> & { type: unknown }>({ type, files, rights }),
  archive: options<MountOptions<'archive'> & { type: unknown }>({
    type,
    data: (value, at) => (isText(value) || isAddress(value) ? address(value) : (bytesOf(value, at) ?? refuse(at, 'an address or bytes', value))),
  }),
  shared: options<MountOptions<'shared'> & { type: unknown }>({ type, path, rights }),
  opfs: options<MountOptions<'opfs'> & { type: unknown }>({
    type,
    directory: must('a path that is not empty', (value) => isText(value) && value !== ''),
    quota: whole(1, Number.MAX_SAFE_INTEGER),
    repair: flag,
    rights,
  }),
  null: options<{ type: unknown }>({ type }),
  zero: options<{ type: unknown }>({ type }),
};
/** The options that a mount of each type must have. */
const NEEDS: Partial<Record<Mount['type'], string>> = { archive: 'data', shared: 'path' };

const mount: Reader = (value, at) => {
  if (!isObject(value)) refuse(at, 'a mount, { type: … }', value);
  const given = value as Record<string, unknown>;
  const kind = given['type'];
  if (typeof kind !== 'string' || !Object.hasOwn(MOUNTS, kind)) return refuse(`${at}.type`, Object.keys(MOUNTS).map((name) => `'${name}'`).join(', '), kind);
  const read = MOUNTS[kind as Mount['type']](given, at) as Record<string, unknown>;
  const needed = NEEDS[kind as Mount['type']];
  if (needed !== undefined && read[needed] === undefined) throw new CapfsError('OPTION_INVALID', `${at}: a mount of type ${kind} needs ${needed}`);
  return { ...read, type: kind };
};

const mounts = record('an object of mounts by path', (guest, given, at) => {
  path(guest, at);
  const here = `${at}[${shown(guest)}]`;
  const long = tooLong(guest);
  if (long !== undefined) throw new CapfsError('OPTION_INVALID', `${here} ${long}`);
  if (!Array.isArray(given)) return mount(given, here);
  const members = Array.from(given as unknown[], (member, index) => mount(member, `${here}[${index}]`));
  if (members.length === 0) throw new CapfsError('OPTION_INVALID', `${here} is a union of nothing: leave it out, or give it a member`);
  return members;
});

const env = record('an object of strings by name', (name, content, at) => {
  if (name === '' || !isText(name) || name.includes('=')) throw new CapfsError('OPTION_INVALID', `${at} has a name that no variable can have: ${shown(name)}`);
  return text(content, `${at}.${name}`);
});

/** Reads a grant. Its terms are checked by the kernel, which gets them as text. */
const grant: Reader = (value, at) => {
  if (isText(value)) return value;
  const wanted = 'a grant: a string, or an object with a device';
  if (!isObject(value)) return refuse(at, wanted, value);
  const { device, ...terms } = value;
  if (!isText(device)) return refuse(at, wanted, value);
  const text = (term: unknown) => (term === undefined ? term : Array.isArray(term) ? Array.from(term as unknown[], String) : String(term));
  const written = Object.entries(terms).map(([key, term]) => [key, text(term)]);
  return { ...Object.fromEntries(written), device };
};

const LIMITS: Readers<Limits> = {
  memory: limit('bytes'),
  time: must('a number of milliseconds above 0, or Infinity', (value) => typeof value === 'number' && value > 0),
  files: limit('descriptors'),
  storage: limit('bytes'),
};

const stdin: Reader = (value, at) => {
  if (isStream(value)) {
    if (value.locked) throw new CapfsError('OPTION_INVALID', `${at} is a stream that somebody reads already: it is locked`);
    return value;
  }
  if (typeof value === 'string') return value;
  return bytesOf(value, at)?.slice() ?? refuse(at, "'pipe', 'closed', a string, bytes or a ReadableStream", value);
};

const signal = must('an AbortSignal', isSignal);

const READ: Readers<ReadOptions> = {
  // A limit above what is possible is the same as none.
  maxBytes: (value, at) => (value === Infinity ? Number.MAX_SAFE_INTEGER : whole(0, Number.MAX_SAFE_INTEGER)(value, at)),
  signal,
};

const KILL: Readers<KillOptions> = { discardOutput: flag };

const SPAWN: Readers<SpawnOptions> = {
  args: listOf(text),
  name: text,
  // Which types of stream chunks there may be is checked when they are read.
  id: text,
  env,
  mounts,
  grants: listOf(grant),
  audit: callback,
  progress: callback,
  clock: must(
    "'exact', 'none', or a step: a number of milliseconds above 0",
    (value) => value === 'exact' || value === 'none' || (Number.isFinite(value) && (value as number) > 0),
  ),
  random: flag,
  // From any document: `instanceof` knows only elements of one frame.
  dom: must('an element', (value) => isObject(value) && value['nodeType'] === 1),
  console: options<Required<SpawnOptions>['console']>({
    write: callback,
    raw: callback,
    size: options<{ columns: number; rows: number }>({ columns: whole(0, SCREEN_MAX), rows: whole(0, SCREEN_MAX) }),
    log: callback,
    warn: callback,
    error: callback,
  }),
  stdin,
  tty: flag,
  limits: options<Limits>(LIMITS),
  signal,
};

const CAPFS: Readers<CapfsOptions> = {
  variant: options<Required<CapfsOptions>['variant']>({ wait: text, memory: text }),
  spares: whole(0, 1_000),
  maxWorkers: whole(1, 1_000),
  capabilities: flag,
  assets: (value, at) => (isText(value) || isAddress(value) ? address(value) : refuse(at, 'an address', value)),
};

/** Reads a value that may run the caller's code (getters, proxies), and turns what that throws into an `OPTION_INVALID`. */
function reading<Value>(reader: Reader, given: Value, at: string): Value {
  try {
    return reader(given, at) as Value;
  } catch (error) {
    throw error instanceof CapfsError ? error : new CapfsError('OPTION_INVALID', `${at} can't be read: ${messageOf(error)}`, { cause: error });
  }
}

/** @throws CapfsError `OPTION_INVALID` */
export const readCapfsOptions = (given: CapfsOptions): CapfsOptions => reading(options<CapfsOptions>(CAPFS), given, THE_OPTIONS);

/** @throws CapfsError `OPTION_INVALID` */
export const readSpawnOptions = (given: SpawnOptions): SpawnOptions => reading(options<SpawnOptions>(SPAWN), given, THE_OPTIONS);

/** @throws CapfsError `OPTION_INVALID` */
export const readGrant = (given: Grant): Grant => reading(grant, given, 'the grant');

/** @throws CapfsError `OPTION_INVALID` */
export const readReadOptions = (given: ReadOptions): ReadOptions => reading(options<ReadOptions>(READ), given, THE_OPTIONS);

/** @throws CapfsError `OPTION_INVALID` */
export const readKillOptions = (given: KillOptions): KillOptions => reading(options<KillOptions>(KILL), given, THE_OPTIONS);

/**
 * Checks that a path is a text; whether it exists is for the kernel to say.
 *
 * @throws CapfsError `OPTION_INVALID`
 */
export const readPath = (given: string): string => text(given, 'the path') as string;

/**
 * What was given as bytes, of whatever window; `undefined` for anything else. They may lie in the caller's own buffer, unless that is shared: then they are
 * copied as they are now.
 *
 * @throws CapfsError `OPTION_INVALID` where the bytes were handed on to somebody else
 */
function bytesOf(given: unknown, what: string): Uint8Array<ArrayBuffer> | undefined {
  let bytes: Uint8Array | undefined;
  try {
    bytes = viewOf(given);
  } catch (error) {
    throw new CapfsError('OPTION_INVALID', `${what} can't be read: its buffer was handed on to somebody else, or has been cut`, { cause: error });
  }
  return bytes && (isUnshared(bytes.buffer) ? (bytes as Uint8Array<ArrayBuffer>) : bytes.slice());
}

/**
 * What is to be written, as bytes; `what` names it. They may lie in the caller's own buffer, unless that is shared: then they are copied as they are now.
 *
 * @throws CapfsError `OPTION_INVALID`, also where the bytes were handed on to somebody else
 */
export function readData(given: Data, what: string): Uint8Array<ArrayBuffer> {
  if (typeof given === 'string') return new TextEncoder().encode(given);
  return bytesOf(given, what) ?? refuse(what, 'a string or bytes', given);
}

/** @throws CapfsError `OPTION_INVALID` */
export function checkSize(columns: number, rows: number): void {
  whole(0, SCREEN_MAX)(columns, 'columns');
  whole(0, SCREEN_MAX)(rows, 'rows');
}

/** Limits as the kernel takes them: what has none is left out. */
export function finite(limits: Limits = {}): Limits {
  return Object.fromEntries(Object.entries(limits).filter(([, value]) => value !== undefined && value !== Infinity)) as Limits;
}
