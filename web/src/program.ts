/** From what a user gives as a program to a compiled module. */
import { CapfsError } from './errors.js';
import { canStream, checkHeader, compileBytes, limitMemory } from './module.js';
import { platform } from './platform.js';
import type { Program } from './types.js';

/** Modules compiled from addresses, so that the same program is compiled once. */
const compiled = new Map<string, Promise<WebAssembly.Module>>();
/** Modules kept in {@link compiled}; a page that runs more different programs compiles the oldest again. */
const COMPILED_MAX = 16;

/** Compiles a program, with a limit for its memory where one is given. */
export async function compileProgram(program: Program, memory?: number): Promise<WebAssembly.Module> {
  if (program instanceof WebAssembly.Module) return program;
  if (typeof program === 'string' || program instanceof URL) {
    const key = `${memory ?? ''} ${String(program)}`;
    let module = compiled.get(key);
    if (!module) {
      module = compileAddress(program, memory);
      compiled.set(key, module);
      module.catch(() => compiled.delete(key));
      if (compiled.size > COMPILED_MAX) compiled.delete(compiled.keys().next().value!);
    }
    return module;
  }
  if (program instanceof Response) return compileResponse(program, memory);
  const bytes = ArrayBuffer.isView(program)
    ? new Uint8Array(program.buffer as ArrayBuffer, program.byteOffset, program.byteLength)
    : new Uint8Array(program);
  return compileLimited(bytes, memory);
}

/** `argv[0]` for a program without a name. */
export function programName(program: Program): string {
  const address = program instanceof Response ? program.url : typeof program === 'string' || program instanceof URL ? String(program) : '';
  const file = address.split(/[?#]/)[0]!.split('/').at(-1);
  return file ? decodeURIComponent(file) : 'agent.wasm';
}

async function fetchProgram(address: string | URL): Promise<Response> {
  let response: Response;
  try {
    response = await platform().read(address);
  } catch (error) {
    throw new CapfsError('FETCH_FAILED', `${String(address)} can't be loaded: ${(error as Error).message}`, { cause: error });
  }
  if (!response.ok) throw new CapfsError('FETCH_FAILED', `${String(address)} can't be loaded: the server answers ${response.status}`);
  return response;
}

/**
 * Compiles while the bytes arrive where no limit has to be written into them: then a browser can keep the compiled code with its
 * copy of the file (Chromium's code cache), and the next page that starts the program compiles nothing.
 */
async function compileAddress(address: string | URL, memory: number | undefined): Promise<WebAssembly.Module> {
  const response = await fetchProgram(address);
  if (memory !== undefined || !canStream(response)) return compileResponse(response, memory);
  try {
    return await WebAssembly.compileStreaming(response);
  } catch {
    // The bytes tell better what is wrong with them, or the connection was lost and is tried once more.
    return compileResponse(await fetchProgram(address), memory);
  }
}

async function compileResponse(response: Response, memory: number | undefined): Promise<WebAssembly.Module> {
  return compileLimited(new Uint8Array(await response.arrayBuffer()), memory);
}

function compileLimited(bytes: Uint8Array<ArrayBuffer>, memory: number | undefined): Promise<WebAssembly.Module> {
  if (memory === undefined) return compileBytes(bytes);
  checkHeader(bytes);
  return compileBytes(limitMemory(bytes, memory));
}
