/** A program's module: checks before it is started, limits that are written into it. */
import { CapfsError } from './errors.js';

/** The modules whose functions an agent may import. */
const WASI_MODULES = ['wasi_snapshot_preview1', 'wasi_unstable'];
/** Bytes in a page of WebAssembly memory. */
const PAGE = 65_536;
/** The identifier of a module's memory section. */
const MEMORY_SECTION = 5;

/**
 * Refuses what is not a core module by its first eight bytes.
 *
 * @throws CapfsError `MODULE_INVALID`, `MODULE_COMPONENT`
 */
export function checkHeader(bytes: Uint8Array): void {
  if (bytes.length < 8 || bytes[0] !== 0 || bytes[1] !== 0x61 || bytes[2] !== 0x73 || bytes[3] !== 0x6d) {
    throw new CapfsError('MODULE_INVALID', 'this is not a WebAssembly module: it does not start with the bytes 00 61 73 6d and a version');
  }
  // A component's version field is 0x0001000d: a layer of 1 behind its version.
  if (bytes[6] === 1 && bytes[7] === 0) {
    throw new CapfsError('MODULE_COMPONENT', 'this is a WebAssembly component; agents are WASI preview 1 modules (target wasm32-wasip1)');
  }
}

/** Whether a response can be compiled while it arrives; the type must be exactly this one. */
export function canStream(response: Response): boolean {
  return typeof WebAssembly.compileStreaming === 'function' && /^\s*application\/wasm\s*$/i.test(response.headers.get('Content-Type') ?? '');
}

/** Compiles bytes; what the engine refuses is `MODULE_INVALID` with the engine's words. */
export async function compileBytes(bytes: Uint8Array<ArrayBuffer>): Promise<WebAssembly.Module> {
  checkHeader(bytes);
  try {
    return await WebAssembly.compile(bytes);
  } catch (error) {
    throw new CapfsError('MODULE_INVALID', `the module is not valid: ${(error as Error).message}`, { cause: error });
  }
}

/**
 * Refuses a module that can't run as an agent.
 *
 * @throws CapfsError `MODULE_IMPORTS`, `MODULE_NO_START`, `MODULE_NO_MEMORY`
 */
export function checkModule(module: WebAssembly.Module): void {
  const unknown = WebAssembly.Module.imports(module)
    .filter(({ module: from, kind }) => !WASI_MODULES.includes(from) || kind !== 'function')
    .map(({ module: from, name, kind }) => `${from}.${name} (${kind})`);
  if (unknown.length > 0) {
    throw new CapfsError('MODULE_IMPORTS', `the module imports what no agent is given: ${unknown.join(', ')}`);
  }
  const exports = WebAssembly.Module.exports(module);
  if (!exports.some(({ name, kind }) => name === '_start' && kind === 'function')) {
    throw new CapfsError('MODULE_NO_START', 'the module exports no function _start: it is not a command');
  }
  if (!exports.some(({ name, kind }) => name === 'memory' && kind === 'memory')) {
    throw new CapfsError('MODULE_NO_MEMORY', 'the module exports no memory called "memory"');
  }
}

/** Reads an unsigned LEB128 number; returns it and the index behind it. */
function leb(bytes: Uint8Array, at: number): [value: number, next: number] {
  let value = 0;
  for (let shift = 0; shift < 35; shift += 7) {
    const byte = bytes[at++];
    if (byte === undefined) break;
    value += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) return [value, at];
  }
  throw new CapfsError('MODULE_INVALID', 'the module is cut short');
}

function toLeb(value: number): number[] {
  const bytes: number[] = [];
  do {
    const low = value % 128;
    value = Math.floor(value / 128);
    bytes.push(value > 0 ? low | 0x80 : low);
  } while (value > 0);
  return bytes;
}

/**
 * Writes a limit into the module's own memory section, so that `memory.grow` beyond it fails as a
 * WASI program expects (with -1) and the engine enforces it.
 *
 * @throws CapfsError `MEMORY_LIMIT` where the module needs more from the start
 */
export function limitMemory(bytes: Uint8Array<ArrayBuffer>, limit: number): Uint8Array<ArrayBuffer> {
  const pages = Math.min(65_536, Math.floor(limit / PAGE));
  let at = 8;
  while (at < bytes.length) {
    const start = at;
    const id = bytes[at]!;
    const [size, body] = leb(bytes, at + 1);
    at = body + size;
    if (id !== MEMORY_SECTION) continue;
    const [count, first] = leb(bytes, body);
    if (count !== 1) return bytes;
    const flags = bytes[first]!;
    const [minimum, behind] = leb(bytes, first + 1);
    if (minimum > pages) {
      throw new CapfsError('MEMORY_LIMIT', `the module needs ${minimum * PAGE} bytes of memory from the start, and may have ${limit}`);
    }
    const maximum = flags & 1 ? leb(bytes, behind)[0] : 65_536;
    const section = [1, flags | 1, ...toLeb(minimum), ...toLeb(Math.min(maximum, pages))];
    const head = [MEMORY_SECTION, ...toLeb(section.length), ...section];
    const limited = new Uint8Array(start + head.length + bytes.length - at);
    limited.set(bytes.subarray(0, start));
    limited.set(head, start);
    limited.set(bytes.subarray(at), start + head.length);
    return limited;
  }
  return bytes;
}
