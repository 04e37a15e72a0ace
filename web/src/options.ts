/** Looks at options before anything is done with them: what there isn't, and values that one can't have, are refused by name. */
import { CapfsError } from './errors.js';
import type { CapfsOptions, Grant, Limits, Mount, SpawnOptions } from './types.js';

/** What a value must be: says so where it is not. */
type Check = (value: unknown, at: string) => void;
/** A check for each option that there is; what is `undefined` was left out. */
type Checks<Options> = { [Name in keyof Required<Options>]: Check };

/** Columns and rows of a screen, at most: what a terminal's `winsize` holds. */
const SCREEN_MAX = 65_535;
/** Where an option is that is in no other. */
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
  (wanted: string, holds: (value: unknown) => boolean): Check =>
  (value, at) => {
    if (!holds(value)) refuse(at, wanted, value);
  };

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);

/** Something that `postMessage` copies bytes out of. Shared memory is not: what it holds changes while it is read. */
const isBytes = (value: unknown): boolean =>
  value instanceof ArrayBuffer || (ArrayBuffer.isView(value) && value.buffer instanceof ArrayBuffer);

const isText = (value: unknown): value is string => typeof value === 'string' && !value.includes('\0');

const flag = must('true or false', (value) => typeof value === 'boolean');
const text = must('a string without NUL', isText);
const callback = must('a function', (value) => typeof value === 'function');
const anyOf = (...names: string[]): Check => must(names.map((name) => `'${name}'`).join(' or '), (value) => names.includes(value as string));
const whole = (least: number, most: number): Check =>
  must(`a whole number from ${least} to ${most}`, (value) => Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most);
const limit = (unit: string): Check =>
  must(`a whole number of ${unit} that is at least 1, or Infinity`, (value) => value === Infinity || (Number.isSafeInteger(value) && (value as number) >= 1));

const listOf =
  (each: Check): Check =>
  (value, at) => {
    if (!Array.isArray(value)) refuse(at, 'an array', value);
    (value as unknown[]).forEach((member, index) => each(member, `${at}[${index}]`));
  };

/** An object with options of its own. */
function options<Options>(checks: Checks<Options>): Check {
  return (value, at) => {
    if (!isObject(value)) refuse(at, 'an object', value);
    for (const [name, member] of Object.entries(value as Record<string, unknown>)) {
      const check = Object.hasOwn(checks, name) ? checks[name as keyof Options] : undefined;
      if (!check) {
        const known = Object.keys(checks);
        const near = known.find((other) => other.toLowerCase() === name.toLowerCase() || (name.length > 2 && (other.startsWith(name) || name.startsWith(other))));
        throw new CapfsError(
          'OPTION_INVALID',
          `${at === THE_OPTIONS ? 'there is' : `${at} has`} no option ${shown(name)}${near === undefined ? `; there are ${known.join(', ')}` : `; is ${near} meant?`}`,
        );
      }
      if (member !== undefined) check(member, at === THE_OPTIONS ? name : `${at}.${name}`);
    }
  };
}

const rights = anyOf('ro', 'rw');

/** A path without `..`, as names of mounts and of files in them are. */
function path(value: unknown, at: string): void {
  if (!isText(value)) refuse(at, 'a path: a string without NUL', value);
  const names: string[] = [];
  for (const name of (value as string).split('/')) {
    if (name === '..') names.pop();
    else if (name !== '' && name !== '.') names.push(name);
  }
  if (!(value as string).split('/').includes('..')) return;
  const meant = `${(value as string).startsWith('/') ? '/' : ''}${names.join('/')}`;
  throw new CapfsError('OPTION_INVALID', `${at}: ${shown(value)} has .. in it, which no path here may have; write ${shown(meant || '.')}`);
}

const files: Check = (value, at) => {
  if (!isObject(value)) refuse(at, 'an object of contents by path', value);
  for (const [name, content] of Object.entries(value as Record<string, unknown>)) {
    path(name, at);
    if (typeof content !== 'string' && !(content instanceof Uint8Array && isBytes(content))) refuse(`${at}[${shown(name)}]`, 'a string or a Uint8Array', content);
  }
};

type MountOptions<Type extends Mount['type']> = Omit<Extract<Mount, { type: Type }>, 'type'>;
const type: Check = () => undefined;
const MOUNTS: { [Type in Mount['type']]: Check } = {
  memory: options<MountOptions<'memory'> & { type: unknown }>({ type, files, rights }),
  archive: options<MountOptions<'archive'> & { type: unknown }>({
    type,
    data: must('an address or bytes', (value) => isBytes(value) || isText(value) || value instanceof URL),
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
/** What a mount can't do without. */
const NEEDS: Partial<Record<Mount['type'], string>> = { archive: 'data', shared: 'path' };

const mount: Check = (value, at) => {
  if (!isObject(value)) refuse(at, 'a mount, { type: … }', value);
  const kind = (value as { type?: unknown }).type;
  if (typeof kind !== 'string' || !Object.hasOwn(MOUNTS, kind)) refuse(`${at}.type`, Object.keys(MOUNTS).map((name) => `'${name}'`).join(', '), kind);
  MOUNTS[kind as Mount['type']](value, at);
  const needed = NEEDS[kind as Mount['type']];
  if (needed !== undefined && (value as Record<string, unknown>)[needed] === undefined) {
    throw new CapfsError('OPTION_INVALID', `${at}: a mount of type ${kind} needs ${needed}`);
  }
};

const mounts: Check = (value, at) => {
  if (!isObject(value)) refuse(at, 'an object of mounts by path', value);
  for (const [guest, given] of Object.entries(value as Record<string, unknown>)) {
    path(guest, at);
    const here = `${at}[${shown(guest)}]`;
    if (!Array.isArray(given)) mount(given, here);
    else if (given.length === 0) throw new CapfsError('OPTION_INVALID', `${here} is a union of nothing: leave it out, or give it a member`);
    else given.forEach((member, index) => mount(member, `${here}[${index}]`));
  }
};

const env: Check = (value, at) => {
  if (!isObject(value)) refuse(at, 'an object of strings by name', value);
  for (const [name, content] of Object.entries(value as Record<string, unknown>)) {
    if (name === '' || !isText(name) || name.includes('=')) throw new CapfsError('OPTION_INVALID', `${at} has a name that no variable can have: ${shown(name)}`);
    text(content, `${at}.${name}`);
  }
};

/** What a grant's terms mean is the kernel's to say. */
const grant: Check = must('a grant: a string, or an object with a device', (value) => isText(value) || (isObject(value) && isText(value['device'])));

const LIMITS: Checks<Limits> = {
  memory: limit('bytes'),
  time: must('a number of milliseconds above 0, or Infinity', (value) => typeof value === 'number' && value > 0),
  files: limit('descriptors'),
  storage: limit('bytes'),
};

const stdin: Check = (value, at) => {
  if (value instanceof ReadableStream) {
    if (value.locked) throw new CapfsError('OPTION_INVALID', `${at} is a stream that somebody reads already: it is locked`);
  } else if (typeof value !== 'string' && !(value instanceof Uint8Array && isBytes(value))) {
    refuse(at, "'pipe', 'closed', a string, a Uint8Array or a ReadableStream", value);
  }
};

const SPAWN: Checks<SpawnOptions> = {
  args: listOf(text),
  name: text,
  // What it may be made of is said where it is used.
  id: text,
  env,
  mounts,
  grants: listOf(grant),
  audit: callback,
  progress: callback,
  clock: must("'exact', 'none', or a step: a number of milliseconds above 0", (value) => value === 'exact' || value === 'none' || (Number.isFinite(value) && (value as number) > 0)),
  random: flag,
  // Of whatever document: `instanceof` holds for those of one frame alone.
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
  signal: must('an AbortSignal', (value) => value instanceof AbortSignal),
};

const CAPFS: Checks<CapfsOptions> = {
  variant: options<Required<CapfsOptions>['variant']>({ wait: text, memory: text }),
  spares: whole(0, 1_000),
  maxWorkers: whole(1, 1_000),
  capabilities: flag,
  assets: must('an address', (value) => isText(value) || value instanceof URL),
};

/** @throws CapfsError `OPTION_INVALID` */
export function checkCapfsOptions(given: CapfsOptions): void {
  options<CapfsOptions>(CAPFS)(given, 'the options');
}

/** @throws CapfsError `OPTION_INVALID` */
export function checkSpawnOptions(given: SpawnOptions): void {
  options<SpawnOptions>(SPAWN)(given, 'the options');
}

/** @throws CapfsError `OPTION_INVALID` */
export function checkGrantValue(given: Grant): void {
  grant(given, 'the grant');
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
