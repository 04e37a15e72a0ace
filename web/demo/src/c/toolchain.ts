/** Compiles C with clang and wasm-ld, both of them agents in this tab. */
import type { Agent, Capfs } from 'capfs';
import { bytes } from '../format.js';
import { isServed } from '../samples.js';
import { sizeOf } from '../sizes.js';

const CLANG = 'langs/clang.wasm';
const LINKER = 'langs/wasm-ld.wasm';
const SYSROOT = 'langs/clang-fs.tar.gz';

/** A complaint of the compiler about one place in the source. */
export interface Diagnostic {
  readonly line: number;
  readonly column: number;
  readonly severity: 'error' | 'warning' | 'note';
  readonly message: string;
}

/** How a compilation went; `module` is absent when it failed. */
export interface Compilation {
  readonly module?: Uint8Array<ArrayBuffer>;
  readonly diagnostics: Diagnostic[];
  /** What the tools wrote, unabridged. */
  readonly log: string;
}

/** A step that begins, for a progress line. */
export type Progress = (step: string) => void;

/** Whether the server has all three parts. */
export async function toolchainServed(): Promise<boolean> {
  return (await Promise.all([CLANG, LINKER, SYSROOT].map(isServed))).every(Boolean);
}

let sysroot: Promise<ArrayBuffer> | undefined;

/** Compiles `main.c` to a command. Headers, libraries and the two programs are loaded at the first call. */
export async function compile(capfs: Capfs, source: string, progress: Progress): Promise<Compilation> {
  progress('Loading headers and libraries');
  sysroot ??= load(SYSROOT).catch((error: unknown) => {
    sysroot = undefined;
    throw error;
  });
  const data = await sysroot;

  progress('Compiling with clang');
  const clang = await run(capfs, data, CLANG, 'clang', { 'main.c': source }, [
    '-cc1', '-triple', 'wasm32-unknown-wasi', '-emit-obj', '-disable-free', '-O2', '-Wall',
    '-isysroot', '/', '-internal-isystem', '/sys/include', '-internal-isystem', '/sys/lib/clang/8.0.1/include',
    '-ferror-limit', '20', '-fmessage-length', '100',
    '-o', '/main.o', '-x', 'c', '/main.c',
  ], '/main.o', progress);
  const diagnostics = parseDiagnostics(clang.log);
  if (!clang.output) return { diagnostics, log: clang.log };

  progress('Linking with wasm-ld');
  const linker = await run(capfs, data, LINKER, 'wasm-ld', { 'main.o': clang.output }, [
    '--no-threads', '-z', 'stack-size=1048576', '-L/sys/lib/wasm32-wasi',
    '/sys/lib/wasm32-wasi/crt1.o', '/main.o', '-lc', '-o', '/main.wasm',
  ], '/main.wasm', progress);
  const log = clang.log + linker.log;
  return linker.output ? { module: linker.output as Uint8Array<ArrayBuffer>, diagnostics, log } : { diagnostics, log };
}

/** Finds the complaints about `main.c` in what clang wrote. */
export function parseDiagnostics(log: string): Diagnostic[] {
  const found = log.matchAll(/^\/?main\.c:(\d+):(\d+): (?:fatal )?(error|warning|note): (.*)$/gm);
  return [...found].map(([, line, column, severity, message]) => ({
    line: Number(line),
    column: Number(column),
    severity: severity as Diagnostic['severity'],
    message: message ?? '',
  }));
}

async function run(
  capfs: Capfs,
  sysroot: ArrayBuffer,
  program: string,
  name: string,
  files: Record<string, string | Uint8Array>,
  args: string[],
  output: string,
  progress: Progress,
): Promise<{ output?: Uint8Array; log: string }> {
  const agent = await capfs.spawn(new URL(program, document.baseURI), {
    name,
    args,
    stdin: 'closed',
    progress: ({ address, loaded, total = sizeOf(address) }) => progress(`Loading ${name}, ${bytes(loaded)}${total === undefined ? '' : ` of ${bytes(total)}`}`),
    mounts: { '/': [{ type: 'memory', files, rights: 'rw' }, { type: 'archive', data: sysroot }] },
  });
  try {
    const [, errors, exit] = await Promise.all([text(agent.stdout), text(agent.stderr), agent.exit]);
    if (exit.reason !== 'exit') return { log: `${errors}${name} ${exit.reason}: ${exit.message ?? exit.code}\n` };
    return exit.code === 0 ? { output: await result(agent, output), log: errors } : { log: errors || `${name} failed with code ${exit.code}\n` };
  } finally {
    await agent.dispose();
  }
}

function result(agent: Agent, path: string): Promise<Uint8Array> {
  return agent.readFile(path);
}

async function text(stream: ReadableStream<Uint8Array>): Promise<string> {
  return new Response(stream as ReadableStream<Uint8Array<ArrayBuffer>>).text();
}

async function load(address: string): Promise<ArrayBuffer> {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`${address}: the server answered ${response.status}`);
  return response.arrayBuffer();
}
