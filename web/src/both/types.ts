/** What the package's users see: options, results and their units. */
import type { DeviceName, Grant } from './grant-terms.js';

export type * from './grant-terms.js';

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
  /**
   * Workers at once, spare ones included, and so agents that run at once; 32 unless told, 1,000 at most. An agent more waits for its turn: `spawn` resolves when it
   * has begun. A task of an agent doesn't wait, as its parent may wait for it: its start fails with `EAGAIN`. Chromium has memory addresses for some
   * 50 agents in a page.
   */
  maxWorkers?: number;
  /**
   * Loads the kernel with the capabilities that need the web platform: without it an agent can be granted `random`, `console`
   * and `opfs` alone, and there is no `task`. It is more than twice as large, hence no by default.
   */
  capabilities?: boolean;
  /**
   * The folder of the kernels, the adapters and the workers' scripts (all files of `dist/`); beside this module unless told. In Node it moves the kernels
   * and adapters alone.
   */
  assets?: string | URL;
}

/** What appears at a path of the agent's namespace. */
export type Mount =
  /** Contents by path, of files alone: their directories are made. */
  | { type: 'memory'; files?: Record<string, Data>; rights?: 'ro' | 'rw' }
  /** A tar or tar.gz, 1 GiB at most as it comes and unpacked; one that is damaged or longer is refused with `ARCHIVE_INVALID` before the agent begins. */
  | { type: 'archive'; data: ArrayBufferLike | ArrayBufferView | URL | string }
  /** A directory of the page's tree. */
  | { type: 'shared'; path: string; rights?: 'ro' | 'rw' }
  | OpfsMount
  | { type: 'null' }
  | { type: 'zero' };

/** What the page has for an agent's `/cap/console`. */
export interface ConsoleOptions {
  /**
   * A terminal of the console's own: takes what the agent shows on it, and `agent.type` is its keyboard. Without it `cons` is
   * on the standard streams.
   */
  write?: (bytes: Uint8Array) => void;
  /** Hands over each key at once and echoes nothing, or no longer. Without it the agent gets `ENOTTY` for `rawon`. */
  raw?: (on: boolean) => void;
  /** The screen at the start; `agent.resize` tells a new size. */
  size?: { columns: number; rows: number };
  /** Take messages, a line each; the page's own console unless told. */
  log?: (line: string) => void;
  warn?: (line: string) => void;
  error?: (line: string) => void;
}

/** One operation on a capability, when it has ended. */
export interface AuditEvent {
  /** Milliseconds since the Unix epoch. */
  time: number;
  /** The agent: its name and number. */
  agent: string;
  device: DeviceName;
  /** Where the agent has it. */
  at: string;
  operation: 'open' | 'read' | 'write' | 'stat' | 'list' | 'create' | 'remove' | 'rename' | 'sync' | 'accept' | 'request' | 'connect';
  /** The file, below `at`. */
  path: string;
  /** What the file stands for: an address, say. */
  subject?: string;
  /** The method of a `request` or `connect`. */
  method?: string;
  /** The status of its answer, if there was one. */
  status?: number;
  /** What the agent isn't told. */
  detail?: string;
  /** Bytes; of a listing, entries. */
  amount: number;
  /** `ok`, or the name of an errno. */
  outcome: string;
  /** How long it took, waiting included. */
  micros: number;
}

/**
 * Files that stay, in the origin's private file system. What the agent has synced is there after anything; what it
 * has not is there too once it has ended, has waited, or has made a call a second later. See docs/storage.md.
 *
 * One agent at a time has a directory. Another, on this page or in another tab, waits for up to 3 s, and is refused by `STORAGE_BUSY` then.
 */
export interface OpfsMount {
  type: 'opfs';
  /** Which tree, by a path of your own; `default` unless told. Different directories are different trees. */
  directory?: string;
  /** Bytes that the contents of files may take, in blocks of 4 KiB; 1 GiB unless told. Beyond it the agent gets `EDQUOT`. */
  quota?: number;
  /** Opens a tree that is damaged with what can be read of it. */
  repair?: boolean;
  rights?: 'ro' | 'rw';
}

/** `Infinity` is the same as leaving a limit out. Anything but a number above 0 is refused, and so is part of a byte or of a descriptor. */
export interface Limits {
  /**
   * Bytes of linear memory: a `memory.grow` beyond it fails in the agent. What its worker holds for it otherwise (memory mounts,
   * descriptors and what is gathered in them, what is under way) may have what its memory leaves of them; beyond it the agent gets `ENOMEM`,
   * and `ENOSPC` in a memory mount.
   */
  memory?: number;
  /** Milliseconds from the start to a forced end, however many. */
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
  /**
   * Who the agent is, for what it keeps: keys, databases and stored files are found again by it. 1 to 64 letters, digits, `.`, `_` and
   * `-`. The digest of the program's bytes unless told, so that no other program has what it keeps; with an id of your own a new
   * version of the program still has it. A compiled module needs one where something is kept.
   */
  id?: string;
  env?: Record<string, string>;
  /**
   * By guest path, in the order of the preopened directories. An array is a union, searched in order. Mounts and `grants` may lie within each other; directories
   * at one path are a union in which what is granted comes first.
   */
  mounts?: Record<string, Mount | Mount[]>;
  /** Capabilities. What isn't granted does not exist for the agent. */
  grants?: readonly Grant[];
  /** Is told of every operation on a capability. */
  audit?: (event: AuditEvent) => void;
  /**
   * Told at each piece of the program, and of archives, that arrives from an address. Nothing of a version that is known already, and perhaps nothing of one that
   * is on its way for another agent.
   */
  progress?: (progress: Progress) => void;
  /**
   * What WASI's clocks tell: everything, nothing (`ENOTCAPABLE`), or the time in steps of so many milliseconds. Time stamps of files and the ends of
   * waits tell no more; without a clock, waits end in steps of a millisecond.
   */
  clock?: 'exact' | 'none' | number;
  /** Whether WASI's `random_get` gives bytes; it does unless told. */
  random?: boolean;
  /** The element that the agent has as `/cap/dom`, where `dom` is granted: what is in it, and nothing else of the page. */
  dom?: HTMLElement;
  /** The agent's console, where `console` is granted. */
  console?: ConsoleOptions;
  /**
   * Standard input: written by `agent.write`, nothing, or what is given. A stream is read as the agent reads; where it fails, the agent reads what came
   * and then `EIO`, and `Exit.message` says so. When the agent has ended, it is cancelled and unlocked.
   */
  stdin?: 'pipe' | 'closed' | Data | ReadableStream<Uint8Array>;
  /** The standard streams are a terminal to the agent. */
  tty?: boolean;
  limits?: Limits;
  /** Kills the agent. Before it has begun, its start is given up with all that it waits for, downloads included, and `spawn` rejects with `ABORTED`. */
  signal?: AbortSignal;
}

export interface KillOptions {
  /** Leaves out what the agent has printed and nobody has read yet: `stdout` and `stderr` have nothing more, and end with it. */
  discardOutput?: boolean;
}

/** Anything that a program can be given as. A string is an address. */
export type Program = string | URL | BufferSource | WebAssembly.Module | Response;

/** What is written: text, as UTF-8, or the bytes of a buffer or of a view of one. */
export type Data = string | ArrayBufferLike | ArrayBufferView;

/** How a file is read. */
export interface ReadOptions {
  /**
   * Bytes that are read at most; what is longer is `EFBIG`. 512 MiB unless told, and no more than that; 16 MiB unless told for what is
   * no regular file, such as a device, which may give bytes without end. `Infinity` is 512 MiB.
   */
  maxBytes?: number;
  /** Gives the reading up: it rejects with `ABORTED`, and the file is closed. */
  signal?: AbortSignal;
}

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

/** What bytes are held for: the agent's memory, tables, memory mounts, descriptors, what is under way, arguments and environment. */
export type Holding = 'memory' | 'tables' | 'files' | 'descriptors' | 'transfers' | 'programs';

/**
 * What an agent uses, or has used. In `Exit` it is as it was at the end; where its worker was ended with it, because it made no system call when it was killed, its
 * page was left, or the worker failed, as it was at most 0.1 s before its last call. What hadn't begun has used nothing.
 */
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
  /** Bytes that the agent and its worker's kernel hold now, by what for. Tables are the engine's affair, and 0 here. */
  held: Record<Holding, number>;
  /** Bytes that both held together, at most. */
  heldPeak: number;
}

/** How much of a file has arrived that an agent is started with. */
export interface Progress {
  /** Where it comes from, as it was given. */
  address: string;
  /** Bytes of the file that are here. */
  loaded: number;
  /** Bytes that the file has, where its server says so; one that compresses it for the way doesn't. */
  total?: number;
}

/** How an agent ended. */
export interface Exit {
  /**
   * The program's own code; 128 and the number of the signal that it raised, as WASI numbers them; 134 after a trap or at the
   * memory limit, 124 after a time-out, 137 when killed.
   */
  code: number;
  reason: 'exit' | 'signal' | 'trap' | 'killed' | 'timeout' | 'memory' | 'host';
  /** What the reason and the code don't say: how it trapped, which limit ended it, that its signal was aborted. */
  message?: string;
  timings: Timings;
  usage: Usage;
}
