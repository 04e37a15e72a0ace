/** Compiles a program's module: it is read first, and changed where it must be. */
import { CapfsError } from '../../both/errors.js';
import type { ModuleFacts } from '../../both/protocol.js';
import { invalid, readModule, WASI_MODULES, type Definitions } from './module-reader.js';

/** Bytes of a download after which reading it is tried first; each further try waits for twice as many. */
const FIRST_TRY = 64 * 1024;

/** What was read from the modules that were compiled here. */
const known = new WeakMap<WebAssembly.Module, ModuleFacts>();

/** What was read from a module; undefined if the page compiled it itself. */
export function factsOf(module: WebAssembly.Module): ModuleFacts | undefined {
  return known.get(module);
}

/** Whether a response can be compiled while it arrives; the type must be exactly this one. */
export function canStream(response: Response): boolean {
  return typeof WebAssembly.compileStreaming === 'function' && /^\s*application\/wasm\s*$/i.test(response.headers.get('Content-Type') ?? '');
}

function factsIn({ startName, unanswered }: Definitions): ModuleFacts {
  return { unanswered, ...(startName === undefined ? {} : { start: startName }) };
}

/**
 * Compiles bytes, with a limit for the memory where one is given: `memory.grow` beyond it fails as a WASI program
 * expects, and the engine enforces it.
 *
 * @throws CapfsError `MODULE_…`; `MEMORY_LIMIT` where it needs more from the start
 */
export async function compileBytes(bytes: Uint8Array<ArrayBuffer>, limit?: number): Promise<WebAssembly.Module> {
  // The file is whole, so reading it needs no more bytes.
  const read = readModule(bytes, true)!;
  const module = await compile(read.edited(bytes, limit));
  known.set(module, factsIn(read));
  return module;
}

/** Compiles; what the engine refuses is `MODULE_INVALID` with the engine's message. */
async function compile(bytes: Uint8Array<ArrayBuffer>): Promise<WebAssembly.Module> {
  try {
    return await WebAssembly.compile(bytes);
  } catch (error) {
    throw invalid((error as Error).message, error);
  }
}

/**
 * Compiles a response while it arrives, and reads it at the same time, up to its code. Resolves to undefined where its bytes must be changed before they
 * are compiled, or where reading all of them gives a better error message.
 *
 * @throws CapfsError `MODULE_…`
 */
export async function compileArriving(response: Response): Promise<WebAssembly.Module | undefined> {
  const copy = response.clone();
  const compiling = WebAssembly.compileStreaming(response).catch(() => undefined);
  const facts = await readArriving(copy);
  const module = facts && facts.start === undefined ? await compiling : undefined;
  if (module && facts) known.set(module, facts);
  return module;
}

/** Reads a response up to its code; undefined where it ends, or the connection is lost, before. */
async function readArriving(response: Response): Promise<ModuleFacts | undefined> {
  const source = response.body!.getReader();
  let arrived = new Uint8Array(FIRST_TRY);
  let length = 0;
  let enough = 1;
  try {
    for (;;) {
      const { value, done } = await source.read();
      if (done) return undefined;
      if (length + value.length > arrived.length) {
        const larger = new Uint8Array(2 * (length + value.length));
        larger.set(arrived.subarray(0, length));
        arrived = larger;
      }
      arrived.set(value, length);
      length += value.length;
      if (length < enough) continue;
      const read = readModule(arrived.subarray(0, length), false);
      if (read) return factsIn(read);
      enough = Math.max(FIRST_TRY, 2 * length);
    }
  } catch (error) {
    // Only with the whole file can be said where it ends too early.
    if (error instanceof CapfsError && error.code !== 'MODULE_INVALID') throw error;
    return undefined;
  } finally {
    // The other clone of the response is still being read.
    void source.cancel().catch(() => undefined);
  }
}

/**
 * Refuses a module that the page has compiled and that can't run as an agent, as far as the engine's reflection tells.
 *
 * @throws CapfsError `MODULE_IMPORTS`, `MODULE_NO_START`, `MODULE_NO_MEMORY`
 */
export function checkModule(module: WebAssembly.Module): void {
  if (known.has(module)) return;
  const unknown = WebAssembly.Module.imports(module)
    .filter(({ module: from, kind }) => !WASI_MODULES.includes(from) || kind !== 'function')
    .map(({ module: from, name, kind }) => `${from}.${name} (${kind})`);
  if (unknown.length > 0) {
    throw new CapfsError('MODULE_IMPORTS', `the module imports what no host provides: ${unknown.join(', ')}`);
  }
  const exports = WebAssembly.Module.exports(module);
  if (!exports.some(({ name, kind }) => name === '_start' && kind === 'function')) {
    throw new CapfsError('MODULE_NO_START', 'the module has no `_start` function: it is a library, not a command');
  }
  if (!exports.some(({ name, kind }) => name === 'memory' && kind === 'memory')) {
    throw new CapfsError('MODULE_NO_MEMORY', "the module exports no memory named `memory`, so WASI calls can't reach its data");
  }
}
