/** What the package's users see: options, results and their units. */

/** How a system call that must wait waits. See docs/syscall-path.md. */
export type WaitVariant = 'jspi' | 'sab' | 'none';
/** How bytes move between an agent and the kernel. */
export type MemoryVariant = 'multi' | 'single';

/** Which way a system call takes. */
export interface Variant {
  wait: WaitVariant;
  memory: MemoryVariant;
}

export interface CapfsOptions {
  /** Forces a variant, as a whole or in part; what the engine lacks is refused with `VARIANT_UNAVAILABLE`. */
  variant?: Partial<Variant>;
  /** Workers that are kept ready for the next agent; 1 unless told. */
  spares?: number;
  /** Where `kernel.wasm`, `stub.wasm` and the adapters lie; beside this module unless told. */
  assets?: string | URL;
}

/** What appears at a path of the agent's namespace. */
export type Mount =
  | { type: 'memory'; files?: Record<string, string | Uint8Array>; rights?: 'ro' | 'rw' }
  | { type: 'archive'; data: BufferSource | URL | string }
  | { type: 'shared'; path: string; rights?: 'ro' | 'rw' }
  | { type: 'null' }
  | { type: 'zero' };

export interface Limits {
  /** Bytes of linear memory. A `memory.grow` beyond it fails in the agent. */
  memory?: number;
  /** Milliseconds from the start to a forced end. */
  time?: number;
  /** Descriptors that may be open at once. */
  files?: number;
  /** Bytes that each memory mount may hold. */
  storage?: number;
}

export interface SpawnOptions {
  args?: string[];
  /** `argv[0]`; the file's name unless told. */
  name?: string;
  env?: Record<string, string>;
  /** By guest path, in the order of the preopened directories. An array is a union, searched in order. */
  mounts?: Record<string, Mount | Mount[]>;
  stdin?: 'pipe' | 'closed' | string | Uint8Array | ReadableStream<Uint8Array>;
  /** The standard streams are a terminal to the agent. */
  tty?: boolean;
  limits?: Limits;
  /** Kills the agent. */
  signal?: AbortSignal;
}

/** Anything that a program can be given as. A string is an address. */
export type Program = string | URL | BufferSource | WebAssembly.Module | Response;

export type FileType =
  | 'unknown'
  | 'block-device'
  | 'character-device'
  | 'directory'
  | 'file'
  | 'datagram-socket'
  | 'stream-socket'
  | 'symlink';

export interface DirEntry {
  name: string;
  type: FileType;
}

export interface Stat {
  type: FileType;
  /** Bytes. */
  size: number;
  /** Milliseconds since the Unix epoch, as the other two. */
  mtime: number;
  atime: number;
  ctime: number;
  nlink: number;
  ino: number;
}

/** Milliseconds of each phase of a start. */
export interface Timings {
  /** Until a worker was ready; near 0 with a warm spare. */
  worker: number;
  /** Compiling the program; 0 when it was given as a module. */
  compile: number;
  /** Mounting, and making the process, in the worker. */
  mount: number;
  /** Instantiating the program and its adapter, in the worker. */
  instantiate: number;
  /** From `spawn` to the first byte of output, if there was one. */
  firstByte?: number;
  /** From `spawn` to the end, if it has come. */
  total?: number;
}

export interface Usage {
  /** Bytes of linear memory. */
  memory: number;
  /** System calls. */
  calls: number;
  /** Bytes that descriptors gave. */
  bytesRead: number;
  /** Bytes that descriptors took. */
  bytesWritten: number;
  /** Descriptors that were open at once, at most. */
  filesPeak: number;
}

/** How an agent ended. */
export interface Exit {
  /** The program's own code; 134 after a trap or at the memory limit, 124 after a time-out, 137 when killed. */
  code: number;
  reason: 'exit' | 'trap' | 'killed' | 'timeout' | 'memory' | 'host';
  message?: string;
  timings: Timings;
  usage: Usage;
}
