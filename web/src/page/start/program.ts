/** Turns what a user gives as a program into a compiled module. */
import { abortError, CapfsError, shownAddress, unloadable } from '../../both/errors.js';
import type { Program, Progress } from '../../both/types.js';
import { viewOf } from '../bytes.js';
import { cancellable } from '../cancel.js';
import { platform } from '../platform.js';
import { isAddress, isModule, isResponse } from '../realms.js';
import { watch, type Tell } from './arriving.js';
import { digestOf } from './identity.js';
import { canStream, compileArriving, compileBytes } from './module.js';

/** A compiled program, with the digest of its bytes if that was asked for. */
export interface Compiled {
  module: WebAssembly.Module;
  /** `sha256:` and 64 hexadecimal digits; undefined for a program that was given as a module. */
  digest?: string;
  /** The bytes that it was compiled from, if they are to be kept. */
  bytes?: Uint8Array<ArrayBuffer>;
}

/** How a program is compiled. */
export interface Compiling {
  /** Bytes of memory that it may have; without limit unless told. */
  memory?: number | undefined;
  /** Whether the digest of its bytes is needed: then they are read as a whole first. */
  digest?: boolean;
  /** Whether its bytes are kept, so that it can be compiled again with a limit. */
  keep?: boolean;
  /** Gives it up, and the download too if nothing else waits for that. */
  signal?: AbortSignal | undefined;
  /** Told as it arrives. */
  progress?: Tell | undefined;
}

/** The module of an address, and the server's tag of its version. */
interface Kept {
  version: string;
  compiled: Compiled;
}

/** A compilation under way, which several starts may wait for. */
interface UnderWay {
  compiled: Promise<Compiled>;
  download: AbortController;
  waiting: number;
  /** Those who are told as it arrives; undefined where nobody was to be told when it began. */
  told: Set<Tell> | undefined;
}

/** The bytes of modules from {@link compileKept}, and each such module compiled with the limit that was asked for last. */
const sources = new WeakMap<WebAssembly.Module, { bytes: Uint8Array<ArrayBuffer>; memory?: number; limited?: Promise<WebAssembly.Module> }>();

/** Modules compiled from addresses, so that the same program is compiled once; the one that was used last is the last. */
const kept = new Map<string, Kept>();
/** Modules kept in {@link kept}; a page that runs more different programs compiles the oldest again. */
const MODULES_MAX = 16;
const underWay = new Map<string, UnderWay>();

/**
 * Compiles a program, with a limit for its memory where one is given. What lies at an address is asked for each time, as `fetch` does:
 * its cache decides what goes to the server. It is compiled anew when it is another version.
 *
 * @throws CapfsError `FETCH_FAILED`, `MODULE_…`, `MEMORY_LIMIT`, `ABORTED`
 */
export async function compileProgram(program: Program, how: Compiling = {}): Promise<Compiled> {
  if (how.signal?.aborted) throw abortError(how.signal, 'the start');
  if (isModule(program)) return how.memory === undefined ? { module: program } : cancellable(limited(program, how.memory), how.signal, 'the start', () => undefined);
  if (typeof program === 'string' || isAddress(program)) return shared(String(program), how);
  if (isResponse(program)) return cancellable(compileResponse(program, how), how.signal, 'the start', () => undefined);
  return cancellable(compileGiven(bytesOf(program), how), how.signal, 'the start', () => undefined);
}

/**
 * Compiles a program to a module that can be compiled again with a limit.
 *
 * @throws CapfsError as {@link compileProgram}
 */
export async function compileKept(program: Program): Promise<WebAssembly.Module> {
  const { module, bytes } = await compileProgram(program, { keep: true });
  if (bytes && !sources.has(module)) sources.set(module, { bytes });
  return module;
}

/** The module with a limit written into it. */
async function limited(module: WebAssembly.Module, memory: number): Promise<Compiled> {
  const source = sources.get(module);
  if (!source) {
    const instead = 'give its address or its bytes, or what capfs.compile() makes of them';
    throw new CapfsError('MEMORY_LIMIT', `a module that was compiled elsewhere can't be kept to a limit of memory: ${instead}`);
  }
  if (source.memory !== memory) {
    const limited = compileBytes(source.bytes, memory);
    Object.assign(source, { memory, limited });
    // The next start tries again: this one may have failed for lack of memory.
    limited.catch(() => {
      if (source.limited === limited) delete source.memory;
    });
  }
  return { module: await source.limited! };
}

function bytesOf(program: BufferSource): Uint8Array<ArrayBuffer> {
  let bytes: Uint8Array | undefined;
  try {
    bytes = viewOf(program);
  } catch (error) {
    throw new CapfsError('MODULE_INVALID', 'the bytes of the program were handed on to somebody else: their buffer is detached', { cause: error });
  }
  if (bytes) return bytes as Uint8Array<ArrayBuffer>;
  throw new CapfsError('MODULE_INVALID', `a program is an address, bytes, a Response or a WebAssembly.Module, not ${program === null ? 'null' : typeof program}`);
}

/** `argv[0]` for a program without a name. */
export function programName(program: Program): string {
  const address = isResponse(program) ? program.url : typeof program === 'string' || isAddress(program) ? String(program) : '';
  const file = address.split(/[?#]/)[0]!.split('/').at(-1);
  if (!file) return 'agent.wasm';
  try {
    return decodeURIComponent(file).replaceAll('\0', '%00');
  } catch {
    // A file may be called `100%.wasm`.
    return file;
  }
}

/** Compiles the program of an address, once for all starts that want it at the same time. */
function shared(address: string, how: Compiling): Promise<Compiled> {
  const key = `${how.memory ?? ''} ${how.digest ? 'digest' : ''} ${how.keep ? 'keep' : ''} ${address}`;
  let work = underWay.get(key);
  // A download that nobody wanted to hear of can't be watched any more.
  if (!work || (how.progress && !work.told)) {
    const download = new AbortController();
    const told = how.progress && new Set<Tell>();
    const progress = told && ((arrived: Progress) => told.forEach((tell) => tell(arrived)));
    const compiled = compileAddress(key, address, { ...how, signal: download.signal, progress });
    work = { compiled, download, waiting: 0, told };
    underWay.set(key, work);
    const begun = work;
    const over = () => {
      if (underWay.get(key) === begun) underWay.delete(key);
    };
    compiled.then(over, over);
  }
  const { compiled, download } = work;
  const waited = work;
  waited.waiting += 1;
  if (how.progress) waited.told?.add(how.progress);
  return cancellable(compiled, how.signal, `the download of ${shownAddress(address)}`, () => {
    waited.waiting -= 1;
    if (waited.waiting > 0) return;
    // The next start begins anew.
    if (underWay.get(key) === waited) underWay.delete(key);
    download.abort();
  });
}

/** The server's tag of this version of the file, if it has one. */
export function versionOf({ headers }: Response): string | undefined {
  const tag = headers.get('ETag');
  if (tag) return tag;
  const modified = headers.get('Last-Modified');
  return modified ? `${modified} ${headers.get('Content-Length') ?? ''}` : undefined;
}

/**
 * Compiles while the bytes arrive where no limit has to be written into them and nobody needs their digest: then a browser can keep the
 * compiled code with its copy of the file (Chromium's code cache), and the next page that starts the program compiles nothing.
 */
async function compileAddress(key: string, address: string, how: Compiling): Promise<Compiled> {
  const response = await fetchProgram(address, how.signal);
  const version = versionOf(response);
  const known = kept.get(key);
  kept.delete(key);
  if (known && known.version === version) {
    kept.set(key, known);
    response.body?.cancel().catch(() => undefined);
    return known.compiled;
  }
  watch(response, address, how.progress);
  const stream = how.memory === undefined && !how.digest && canStream(response);
  const [compiled, of] = stream ? await streamed(response, address, how) : [await compileResponse(response, how, address), response];
  const compiledVersion = versionOf(of);
  if (compiledVersion !== undefined) {
    kept.set(key, { version: compiledVersion, compiled });
    if (kept.size > MODULES_MAX) kept.delete(kept.keys().next().value!);
  }
  return compiled;
}

/** Compiles while the bytes arrive. Returns the response it is from as well: between two requests the file may have changed. */
async function streamed(response: Response, address: string, how: Compiling): Promise<[Compiled, Response]> {
  const copy = how.keep ? response.clone() : undefined;
  // Errors of the connection show in the other clone.
  const [module, bytes] = await Promise.all([compileArriving(response), copy?.arrayBuffer().catch(() => undefined)]);
  if (module && bytes) return [{ module, bytes: new Uint8Array(bytes) }, response];
  if (module && !copy) return [{ module }, response];
  how.signal?.throwIfAborted();
  // The bytes must be changed, or give a better error message, or the connection was lost: they are loaded as a whole.
  const again = await fetchProgram(address, how.signal);
  watch(again, address, how.progress);
  return [await compileResponse(again, how, address), again];
}

async function fetchProgram(address: string, signal: AbortSignal | undefined): Promise<Response> {
  let response: Response;
  try {
    response = await platform().read(address, signal);
  } catch (error) {
    throw unloadable(shownAddress(address), error);
  }
  if (!response.ok) throw unloadable(shownAddress(address), new Error(`the server answers ${response.status}`));
  return response;
}

async function compileResponse(response: Response, how: Compiling, address = response.url || 'the response'): Promise<Compiled> {
  if (!response.ok) throw unloadable(shownAddress(address), new Error(`the server answers ${response.status}`));
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = new Uint8Array(await response.arrayBuffer());
  } catch (error) {
    // The response was cut short, or its body has been read already.
    throw unloadable(shownAddress(address), error);
  }
  return compileGiven(bytes, how);
}

async function compileGiven(given: Uint8Array<ArrayBuffer>, { memory, digest, keep }: Compiling): Promise<Compiled> {
  // A copy: their owner may change them later.
  const bytes = keep ? given.slice() : given;
  const [module, named] = await Promise.all([
    compileBytes(bytes, memory),
    digest ? digestOf(bytes) : undefined,
  ]);
  return { module, ...(named === undefined ? {} : { digest: named }), ...(keep ? { bytes } : {}) };
}
