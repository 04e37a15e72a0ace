/**
 * Reads what a module says of itself before its code, decides whether it can be an agent (docs/modules.md), and writes limits into it.
 *
 * It is `modules/` once more: a page must know before its kernel has arrived. tests/odd holds both to one table of verdicts and words. Code is
 * never looked at: what only validation can tell, the engine says.
 */
import { CapfsError, type CapfsErrorCode } from '../../both/errors.js';
import type { ImportedFunction } from '../../both/protocol.js';
import { stub } from '../stub.js';

/** Where WASI's functions are imported from: preview 1, and the snapshot before it. */
export const WASI_MODULES = ['wasi_snapshot_preview1', 'wasi_unstable'];

/** Bytes in a page of memory. */
const PAGE = 65_536;
/** Bytes of a section that is read, at most; as natively. */
const SECTION_MAX = 32 * 2 ** 20;
/** Types, functions, imports and exports, of each, at most, memories and tables: the engines' limits (WebAssembly JavaScript Interface). */
const DEFINITIONS_MAX = 1_000_000;
const MEMORIES_MAX = 100;
const TABLES_MAX = 100_000;
/** What an element of a table is taken to cost an engine, in bytes: a reference, and what calls through it need. */
const ELEMENT = 16;
/** Tables may grow to one part in so many of a limit of memory. */
const TABLES_PART = 16;
/** Imports that are remembered, at most: those that are answered with `ENOSYS`, and those that can't be answered. */
const COUNTED_MAX = 1000;
/** How many imports a message names, and how many characters of each name. */
const NAMED_MAX = 16;
const SHOWN_MAX = 80;
/** The export under which the module's start function is called; with a number behind it, where the module has such an export itself. */
const START = 'capfs-start';

const enum Section { Type = 1, Import, Function, Table, Memory, Global, Export, Start, Element, Code, Data, DataCount, Tag }
/** The order in which a module has its sections, which isn't that of their numbers. */
const ORDER = [
  ...[Section.Type, Section.Import, Section.Function, Section.Table, Section.Memory, Section.Tag, Section.Global, Section.Export, Section.Start],
  ...[Section.Element, Section.DataCount, Section.Code, Section.Data],
];
const KINDS = ['function', 'table', 'memory', 'global', 'tag'];

/**
 * By what types begin in the binary format: those of the standard, and of the proposals shared-everything-threads (`Shared`), custom-descriptors
 * (`Describes`, `Descriptor`, `Exact`) and stack-switching (`Continuation`), which engines may know before a user does.
 */
const enum Form {
  Describes = 0x4c, Descriptor = 0x4d, Group = 0x4e, FinalSub = 0x4f, Sub = 0x50, Continuation = 0x5d, Array = 0x5e, Struct = 0x5f, Function = 0x60,
  Exact = 0x62, NullableReference = 0x63, Reference = 0x64, Shared = 0x65,
  /** References to what needs no description, from the first to the last of them. */
  FirstAbstract = 0x68, LastAbstract = 0x75,
  I16 = 0x77, I8 = 0x78,
  /** `v128` to `i32`. */
  FirstNumber = 0x7b, LastNumber = 0x7f,
}

/** The instructions of constant expressions by which a table's first elements are made. */
const enum Opcode { End = 0x0b, GlobalGet = 0x23, I32Const = 0x41, RefNull = 0xd0, RefFunc = 0xd2, Collected = 0xfb }
/** The one of those behind `Collected` that makes a number a reference. */
const REF_I31 = 0x1c;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
/** Some types of functions, as `Cursor` writes them: a character for each parameter, `>`, and one for each result. */
const NOTHING = '>';
const ERRNO = '>\x7f';
const OLD_ACCEPT = '\x7f\x7f>\x7f';

interface Memory {
  flags: number;
  initial: number;
  maximum: number | undefined;
}

/** A table of the module's own, and where its limits stand. */
interface Table extends Memory {
  from: number;
  to: number;
}

/** What a module says of itself before its code. */
export class Definitions {
  readonly types: (string | undefined)[] = [];
  /** The type of each function, imported ones first. */
  readonly functions: number[] = [];
  readonly memories: Memory[] = [];
  readonly tables: Table[] = [];
  /** It has types of arrays or structures, whose memory no limit of ours reaches. */
  collected = false;
  unreadTables = false;
  /** The imported functions that are answered with `ENOSYS`. */
  readonly unanswered: ImportedFunction[] = [];
  readonly unknown: string[] = [];
  /** `_start` and `memory`, each with its kind behind it; and exports whose names could clash with the start function's. */
  readonly exports = new Map<string, number>();
  start: number | undefined;
  disorder = false;
  /** By section: where it begins with its head, where its contents begin, and where it ends. */
  readonly places = new Map<number, [head: number, contents: number, end: number]>();

  /** A name for the start function, if there is one, that no export has. */
  get startName(): string | undefined {
    if (this.start === undefined) return undefined;
    let name = START;
    for (let number = 1; this.exports.has(name); number++) name = `${START}-${number}`;
    return name;
  }

  /** Refuses what can't be an agent; of several reasons the first in the table of docs/modules.md. */
  check(): void {
    const { unknown, exports, memories } = this;
    if (unknown.length > 0) {
      const more = unknown.length > NAMED_MAX ? ` and ${unknown.length - NAMED_MAX} more` : '';
      throw refused('MODULE_IMPORTS', `imports what no host provides: ${unknown.slice(0, NAMED_MAX).join(', ')}${more}`);
    }
    const start = exports.get('_start 0');
    if (start === undefined) throw refused('MODULE_NO_START', 'has no `_start` function: it is a library, not a command');
    if (!this.#takesNothing(start)) throw refused('MODULE_START_TYPE', 'has a `_start` that takes or returns values, which nobody would give or take');
    const memory = exports.get('memory 2');
    if (memory === undefined) throw refused('MODULE_NO_MEMORY', "exports no memory named `memory`, so WASI calls can't reach its data");
    if (memories.some(({ flags }) => flags & 2)) throw refused('MODULE_MEMORY', 'has a memory that threads share, and an agent has one thread');
    // An index that is no memory's is for validation to refuse.
    if (memories[memory] && memories[memory].flags & 4) {
      throw refused('MODULE_MEMORY', 'has a memory with 64-bit addresses, and WASI preview 1 has 32 bits for them');
    }
    if (memories.some(({ flags }) => flags & 8)) throw refused('MODULE_MEMORY', 'has a memory whose pages are not of 64 KiB');
    if (this.start !== undefined && !this.#takesNothing(this.start)) throw invalid('its start function takes or returns values');
    // The engine may see the module without its start section, and would find no fault then.
    if (this.disorder) throw invalid('its sections are not in their order');
  }

  /** Edits of the section of tables by which they keep to their part of a limit. */
  #boundTables(limit: number): [from: number, to: number, bytes: number[]][] {
    const place = this.places.get(Section.Table);
    if (!place || this.tables.length === 0) return [];
    const room = Math.floor(limit / TABLES_PART / ELEMENT / this.tables.length);
    const bound = this.tables.map(({ flags, initial, maximum = Infinity, from, to }): [number, number, number[]] => [
      from, to, [flags | 1, ...leb(initial), ...leb(Math.min(maximum, Math.max(initial, room)))],
    ]);
    const [head, contents, end] = place;
    const grown = bound.reduce((sum, [from, to, bytes]) => sum + bytes.length - (to - from), 0);
    return [[head, contents, [Section.Table, ...leb(end - contents + grown)]], ...bound];
  }

  /** Whether a function has neither parameters nor results. One that the module hasn't is for validation to refuse. */
  #takesNothing(index: number): boolean {
    return (this.types[this.functions[index]!] ?? NOTHING) === NOTHING;
  }

  /**
   * The file with what must be written into it: its start function exported instead of being run, and its memories bound to `limit` bytes
   * together, if there is a limit. The exported memory may grow up to it, any other keeps the size that it starts with; tables may grow to
   * a sixteenth of it. `memory.grow` and `table.grow` fail beyond, as programs expect, and the engine enforces it.
   *
   * @throws CapfsError `MEMORY_LIMIT`: it needs more from the start, or has memory that can't be limited
   */
  edited(bytes: Uint8Array<ArrayBuffer>, limit: number | undefined): Uint8Array<ArrayBuffer> {
    const edits: [from: number, to: number, bytes: number[]][] = [];
    const memories = this.places.get(Section.Memory);
    if (limit !== undefined) {
      if (this.collected) throw refused('MEMORY_LIMIT', 'has arrays or structures that the engine collects, and their memory can\'t be kept to a limit here');
      if (this.unreadTables) throw refused('MEMORY_LIMIT', 'has tables that can\'t be read, and so can\'t be kept to a limit of memory');
      const elements = this.tables.reduce((sum, { initial }) => sum + initial, 0);
      const needed = PAGE * this.memories.reduce((sum, { initial }) => sum + initial, 0) + ELEMENT * elements;
      if (needed > limit) throw refused('MEMORY_LIMIT', `needs ${needed} bytes of memory to start, and may have ${limit}`);
      const room = Math.floor((limit - needed) / PAGE);
      const contents = this.memories.flatMap(({ flags, initial, maximum = Infinity }, index) => {
        const grown = initial + (index === this.exports.get('memory 2') ? room : 0);
        return [flags | 1, ...leb(initial), ...leb(Math.min(maximum, grown, flags & 4 ? Infinity : PAGE))];
      });
      edits.push(...this.#boundTables(limit));
      const section = [...leb(this.memories.length), ...contents];
      if (memories) edits.push([memories[0], memories[2], [Section.Memory, ...leb(section.length), ...section]]);
    }
    const [exports, start, name] = [this.places.get(Section.Export), this.places.get(Section.Start), this.startName];
    if (exports && start && name !== undefined) {
      const cursor = new Cursor(bytes, exports[1], exports[2]);
      const count = leb(cursor.u32() + 1);
      // The name is made of ASCII characters, one byte each.
      const entry = [name.length, ...new TextEncoder().encode(name), 0, ...leb(this.start!)];
      edits.push([exports[0], cursor.at, [Section.Export, ...leb(count.length + exports[2] - cursor.at + entry.length), ...count]]);
      edits.push([exports[2], exports[2], entry], [start[0], start[2], []]);
    }
    if (edits.length === 0) return bytes;
    const parts: (Uint8Array | number[])[] = [];
    let at = 0;
    for (const [from, to, inserted] of edits) {
      parts.push(bytes.subarray(at, from), inserted);
      at = to;
    }
    parts.push(bytes.subarray(at));
    const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    parts.reduce((offset, part) => (whole.set(part, offset), offset + part.length), 0);
    return whole;
  }
}

/**
 * Reads a module, or what has arrived of one (not `whole`): everything up to its code is enough then, and nothing is answered until that is there.
 *
 * @throws CapfsError `MODULE_…`
 */
export function readModule(bytes: Uint8Array, whole: boolean): Definitions | undefined {
  if (!whole && bytes.length < 8) return undefined;
  checkHeader(bytes);
  const read = new Definitions();
  let code = false;
  let rank = -1;
  let at = 8;
  while (at < bytes.length) {
    const head = at;
    const id = bytes[at]!;
    const size = sizeAt(bytes, at + 1);
    if (!size) {
      if (bytes.length - head >= 6) throw invalid(`a section's length has more than 32 bits (at offset 0x${head.toString(16)})`);
      if (!whole) return undefined;
      throw refused('MODULE_INVALID', `is cut short: it ends in the head of the section at byte ${head}`);
    }
    at += 1 + size[1];
    const end = at + size[0];
    const missing = end - bytes.length;
    if (id > 0) {
      const found = ORDER.indexOf(id);
      if (found <= rank && found >= 0) read.disorder = true;
      rank = Math.max(rank, found);
    }
    if (whole && missing > 0) {
      // What stands before tells more, if it is all there.
      if (id === Section.Code || id === Section.Data) read.check();
      throw refused('MODULE_INVALID', `is cut short: ${missing} bytes are missing from the section at byte ${head}`);
    }
    if (id >= Section.Element && id <= Section.DataCount) {
      if (!code) read.check();
      code = true;
      if (!whole) return read;
    } else if (id >= Section.Type && id <= Section.Start && id !== Section.Global) {
      if (size[0] > SECTION_MAX) throw invalid(`a section of definitions is larger than 32 MiB (at offset 0x${head.toString(16)})`);
      if (missing > 0) return undefined;
      if (id === Section.Table) readTables(read, new Cursor(bytes, at, end));
      else readSection(read, id, new Cursor(bytes, at, end));
      read.places.set(id, [head, at, end]);
    } else if (missing > 0) return undefined;
    at = end;
  }
  // Whether more follows is not known before the file's end.
  if (!whole) return undefined;
  read.check();
  return read;
}

/** Only limits need to know the tables. So what can't be read of them is no verdict: the engine judges. */
function readTables(read: Definitions, cursor: Cursor): void {
  try {
    readSection(read, Section.Table, cursor);
  } catch {
    read.unreadTables = true;
  }
}

function readSection(read: Definitions, id: Section, cursor: Cursor): void {
  if (id === Section.Start) read.start = cursor.u32();
  else {
    const count = cursor.u32();
    for (let index = 0; index < count; index++) readEntry(read, id, cursor, index);
  }
  if (cursor.at < cursor.end) throw cursor.wrong('there is more than it has');
}

function readEntry(read: Definitions, id: Section, cursor: Cursor, index: number): void {
  if (id === Section.Type) {
    const before = read.types.length;
    cursor.group(read.types);
    read.collected ||= read.types.includes(undefined, before);
  } else if (id === Section.Table) {
    bounded(index, 'tables', TABLES_MAX);
    read.tables.push(cursor.table());
  }
  else if (id === Section.Import) {
    bounded(index, 'imports', DEFINITIONS_MAX);
    readImport(read, cursor);
  } else if (id === Section.Function) {
    bounded(read.functions.length, 'functions', DEFINITIONS_MAX);
    read.functions.push(cursor.u32());
  } else if (id === Section.Memory) {
    bounded(read.memories.length, 'memories', MEMORIES_MAX);
    read.memories.push(cursor.limits());
  } else {
    bounded(index, 'exports', DEFINITIONS_MAX);
    const name = cursor.name();
    const kind = cursor.byte();
    if (kind >= KINDS.length) throw cursor.wrong('there is no such kind of exports');
    const what = cursor.u32();
    if (name === '_start' || name === 'memory') read.exports.set(`${name} ${kind}`, what);
    else if (name.startsWith(START)) read.exports.set(name, what);
  }
}

function readImport(read: Definitions, cursor: Cursor): void {
  const [module, name, kind] = [cursor.name(), cursor.name(), cursor.byte()];
  let what = KINDS[kind];
  if (kind === 0) {
    const type = cursor.u32();
    read.functions.push(type);
    const answered = answer(module, name, read.types[type]);
    if (answered === 'call') return;
    if (answered === 'nosys' && read.unanswered.length < COUNTED_MAX) return void read.unanswered.push({ module, name });
    if (answered === 'type') what = 'a function of another type';
  } else if (kind === 1) {
    cursor.value();
    cursor.limits();
  } else if (kind === 2) read.memories.push(cursor.limits());
  else if (kind === 3) {
    cursor.value();
    cursor.byte();
  } else if (kind === 4) {
    cursor.byte();
    cursor.u32();
  } else throw cursor.wrong('there is no such kind of imports');
  if (read.unknown.length < COUNTED_MAX) read.unknown.push(`${shown(module)}.${shown(name)} (${what})`);
}

/** How a function is answered: by the call, by `ENOSYS`, or not at all, because of its type or as it is none of WASI's. */
function answer(module: string, name: string, type: string | undefined): 'call' | 'nosys' | 'type' | undefined {
  // Without a type the module is invalid, which validation says better.
  if (type === undefined) return 'call';
  if (!WASI_MODULES.includes(module)) return undefined;
  const calls = callTypes();
  const wanted = (module === 'wasi_unstable' ? calls.get(`unstable_${name}`) : undefined) ?? (name.startsWith('unstable_') ? undefined : calls.get(name));
  if (wanted === type) return 'call';
  if (wanted === undefined ? type.endsWith(NOTHING) || type.endsWith(ERRNO) : name === 'sock_accept' && type === OLD_ACCEPT) return 'nosys';
  return 'type';
}

let types: Map<string, string> | undefined;

/** The types of the calls: those that the stub exports. */
function callTypes(): Map<string, string> {
  if (types) return types;
  types = new Map();
  const bytes = Uint8Array.from(atob(stub), (character) => character.charCodeAt(0));
  const own = new Definitions();
  for (let at = 8; at < bytes.length; ) {
    const id = bytes[at]!;
    const [size, length] = sizeAt(bytes, at + 1)!;
    const cursor = new Cursor(bytes, at + 1 + length, at + 1 + length + size);
    at = cursor.end;
    if (id === Section.Type || id === Section.Function) readSection(own, id, cursor);
    if (id !== Section.Export) continue;
    for (let count = cursor.u32(); count > 0; count--) {
      const [name, kind, index] = [cursor.name(), cursor.byte(), cursor.u32()];
      if (kind === 0) types.set(name, own.types[own.functions[index]!]!);
    }
  }
  return types;
}

/** Reads a section's contents. */
class Cursor {
  constructor(
    private readonly bytes: Uint8Array,
    public at: number,
    readonly end: number,
  ) {}

  wrong(what: string): CapfsError {
    return invalid(`${what} (at offset 0x${this.at.toString(16)})`);
  }

  byte(): number {
    if (this.at >= this.end) throw this.wrong('a section ends too early');
    return this.bytes[this.at++]!;
  }

  /** A number of so many bits, without a sign; those above 2^53 are not exact. */
  number(bits: number): number {
    let value = 0;
    for (let shift = 0; shift < bits; shift += 7) {
      const byte = this.byte();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) {
        if (value >= 2 ** bits) break;
        return value;
      }
    }
    throw this.wrong('a number has too many bits');
  }

  u32(): number {
    return this.number(32);
  }

  name(): string {
    const length = this.u32();
    if (length > this.end - this.at || length > 100_000) throw this.wrong('a name is too long');
    try {
      return utf8.decode(this.bytes.subarray(this.at, (this.at += length)));
    } catch {
      throw this.wrong('a name is not UTF-8');
    }
  }

  limits(): Memory {
    const flags = this.byte();
    if (flags > 15) throw this.wrong('there are no such limits');
    const bits = flags & 4 ? 64 : 32;
    const [initial, maximum] = [this.number(bits), flags & 1 ? this.number(bits) : undefined];
    if (flags & 8) this.u32();
    return { flags, initial, maximum };
  }

  /** A table, of which the first elements may be told. */
  table(): Table {
    const told = this.byte() === 0x40;
    if (!told) this.at--;
    else if (this.byte() !== 0) throw this.wrong('there is no such kind of tables');
    this.value();
    const from = this.at;
    const limits = { ...this.limits(), from, to: this.at };
    if (told) this.#constant();
    return limits;
  }

  /** An expression whose value is known before anything runs. */
  #constant(): void {
    for (;;) {
      const code = this.byte();
      if (code === Opcode.End) return;
      if (code === Opcode.RefNull) this.#heap();
      else if (code === Opcode.RefFunc || code === Opcode.GlobalGet) this.u32();
      else if (code === Opcode.I32Const) while (this.byte() >= 0x80);
      else if (code !== Opcode.Collected || this.u32() !== REF_I31) throw this.wrong('the first elements of a table are made by what is not known here');
    }
  }

  /** A type of values; answers how it begins. */
  value(): number {
    const first = this.byte();
    const within = (least: number, most: number) => least <= first && first <= most;
    if (first === Form.NullableReference || first === Form.Reference) this.#heap();
    else if (first === Form.Shared) return this.value();
    else if (!within(Form.FirstNumber, Form.LastNumber) && !within(Form.FirstAbstract, Form.LastAbstract)) throw this.wrong('there is no such type of values');
    return first;
  }

  /** What a reference is of: a number with a sign, behind what marks it as shared or exact. */
  #heap(): void {
    let byte = this.byte();
    if (byte === Form.Shared || byte === Form.Exact) byte = this.byte();
    for (let more = 4; byte >= 0x80; more--) {
      if (more === 0) throw this.wrong('a number has too many bits');
      byte = this.byte();
    }
  }

  #values(): string {
    let text = '';
    const count = this.u32();
    if (count > 1000) throw this.wrong('a function has more than 1000 parameters or results');
    for (let index = 0; index < count; index++) text += String.fromCharCode(this.value());
    return text;
  }

  /** A type, or a group of them that refer to each other. */
  group(types: (string | undefined)[]): void {
    let count = 1;
    if (this.bytes[this.at] === Form.Group) {
      this.at++;
      count = this.u32();
    }
    for (; count > 0; count--) {
      bounded(types.length, 'types', DEFINITIONS_MAX);
      types.push(this.#type());
    }
  }

  /** A type; that of a function is written as its parameters, `>` and its results. */
  #type(): string | undefined {
    let form = this.byte();
    if (form === Form.Sub || form === Form.FinalSub) {
      for (let count = this.u32(); count > 0; count--) this.u32();
      form = this.byte();
    }
    if (form === Form.Shared) form = this.byte();
    for (const clause of [Form.Describes, Form.Descriptor]) {
      if (form !== clause) continue;
      this.u32();
      form = this.byte();
    }
    if (form === Form.Function) return `${this.#values()}${NOTHING}${this.#values()}`;
    if (form === Form.Struct) for (let count = this.u32(); count > 0; count--) this.#field();
    else if (form === Form.Array) this.#field();
    else if (form === Form.Continuation) this.#heap();
    else throw this.wrong('there is no such form of types');
    return undefined;
  }

  #field(): void {
    const packed = this.bytes[this.at];
    if (packed === Form.I8 || packed === Form.I16) this.byte();
    else this.value();
    this.byte();
  }
}

/** What is no module of version 1, by its first bytes. */
function checkHeader(bytes: Uint8Array): void {
  const starts = (text: string) => [...text].every((character, index) => bytes[index] === character.charCodeAt(0));
  if (!starts('\0asm')) throw refused('MODULE_INVALID', `is not WebAssembly: ${whatElse(bytes, starts)}`);
  if (bytes.length < 8) throw refused('MODULE_INVALID', 'is cut short: it ends within its header');
  // The third and fourth byte of a component's are its layer.
  if (bytes[6] === 1 && bytes[7] === 0) throw refused('MODULE_COMPONENT', 'is a component (WASI preview 2 or later); only WASI preview 1 modules run for now');
  if (!starts('\0asm\x01\0\0\0')) throw refused('MODULE_INVALID', 'is not WebAssembly: its version is not 1');
}

function whatElse(bytes: Uint8Array, starts: (text: string) => boolean): string {
  if (bytes.length === 0) return 'it is empty';
  if (starts('\x7fELF')) return 'it is native code';
  if (starts('\x1f\x8b')) return 'it is compressed by gzip';
  if (starts('PK\x03\x04')) return 'it is a zip archive';
  if (starts('#!')) return 'it is a script';
  if (starts('<')) return 'it looks like a page or another text of markup';
  const first = bytes.find((byte) => ![9, 10, 12, 13, 32].includes(byte));
  return first === 40 ? 'it looks like the text format, which `wat2wasm` converts' : 'it does not start with \\0asm';
}

/** A section's length, and how many bytes say it. */
function sizeAt(bytes: Uint8Array, at: number): [size: number, length: number] | undefined {
  let size = 0;
  for (let count = 0; count < 5; count++) {
    const byte = bytes[at + count];
    if (byte === undefined) return undefined;
    size += (byte & 0x7f) * 2 ** (7 * count);
    if (byte < 0x80) return size < 2 ** 32 ? [size, count + 1] : undefined;
  }
  return undefined;
}

function leb(value: number): number[] {
  const bytes: number[] = [];
  do {
    const low = value % 128;
    value = Math.floor(value / 128);
    bytes.push(value > 0 ? low | 0x80 : low);
  } while (value > 0);
  return bytes;
}

/** A name out of a module: what controls a terminal, or turns the order of letters round, is written as an escape. */
function shown(name: string): string {
  const known: Record<string, string> = { '\0': '\\0', '\t': '\\t', '\n': '\\n', '\r': '\\r' };
  const characters = [...name];
  const text = characters.slice(0, SHOWN_MAX).map((character) => {
    if (character === ' ' || !/[\p{C}\p{Z}\p{Grapheme_Extend}]/u.test(character)) return character;
    return known[character] ?? `\\u{${character.codePointAt(0)!.toString(16)}}`;
  });
  return text.join('') + (characters.length > SHOWN_MAX ? '…' : '');
}

function bounded(count: number, what: string, most: number): void {
  if (count >= most) throw invalid(`it has more than ${most} ${what}`);
}

function refused(code: CapfsErrorCode, text: string): CapfsError {
  return new CapfsError(code, `the module ${text}`);
}

/** What is not valid, in the words of who found it. */
export function invalid(reason: string, cause?: unknown): CapfsError {
  return new CapfsError('MODULE_INVALID', `the module is not a valid WebAssembly module: ${reason}`, cause === undefined ? undefined : { cause });
}
