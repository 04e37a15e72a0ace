/** The messages between the page and its workers. Those that a kernel takes and gives are generated of its source (`worker-shim/src/protocol`). */
import type { FileRequest, Narrowing, NarrowRequest, RemoteTree, Variable } from '../kernel-bindings.js';
import type { CapfsErrorCode } from './errors.js';
import type { Exit, Timings, Usage, Variant } from './types.js';

export type { FileRequest, Narrowing, NarrowRequest, RemoteTree };

/** Which of the two kernels, and the folder of the package's files where a page keeps them elsewhere than its modules. */
export interface Assets {
  full: boolean;
  assets: URL | undefined;
}

/** The modules that every worker instantiates, compiled once. */
export interface KernelModules {
  kernel: WebAssembly.Module;
  /** Whether it is the kernel with the capabilities that need the web platform. */
  full: boolean;
  stub: WebAssembly.Module;
  adapter: WebAssembly.Module;
}

/** A function that a module imports: the module that it is imported from, and its name there. */
export interface ImportedFunction {
  readonly module: string;
  readonly name: string;
}

/** What a worker must know about a module that the engine doesn't tell. */
export interface ModuleFacts {
  /** The name under which it exports its start function, if it had one: that must not run before the adapter is in place, so it was made an export. */
  readonly start?: string;
  /** The imported functions that are answered with `ENOSYS`. */
  readonly unanswered: readonly ImportedFunction[];
}

/** One member of a mount, with its data loaded. */
export type MountMember =
  | { type: 'memory'; files: { path: string; bytes: Uint8Array }[]; writable: boolean }
  | { type: 'archive'; tar: Uint8Array }
  | { type: 'shared'; path: string; writable: boolean }
  | { type: 'opfs'; directory: string; quota: number; repair: boolean; writable: boolean }
  | { type: 'null' | 'zero' };

/** What to mount at a path, as the agent sees it; several members are a union. */
export interface ConfiguredMount {
  path: string;
  members: MountMember[];
}

/** The error of a request about an agent that is gone. */
export const DISPOSED = 'the agent was disposed of';

/** Another kernel, whose trees this one mounts. */
export const enum Peer {
  /** The page's kernel. */
  Home,
  /** The kernel of the parent, where this agent is a task. */
  Parent,
  /** The kernel of the first device worker. When one fails, its successor has the next number, so that nothing that belonged to the first is asked of it. */
  Devices,
}

/** A capability to mount. `terms` alternates keys and values; `from` says which tree of which kernel it is, where another kernel has made it. */
export interface ConfiguredGrant {
  device: string;
  terms: string[];
  from?: { peer: Peer; tree: RemoteTree };
}

export interface AgentConfig {
  /** What was read from its module; missing if the page compiled it without this package. */
  facts?: ModuleFacts;
  args: string[];
  /** The identity under which it keeps keys, databases and files; empty where it keeps none by identity. */
  identity: string;
  /** Standard input as a whole; none when the page writes it piece by piece. */
  stdin?: Uint8Array;
  env: Variable[];
  mounts: ConfiguredMount[];
  /** The directory that the agent knows as `.`, in addition to the names of the mounts. */
  dir?: string;
  /** The kernel whose tree shared mounts are parts of. */
  shares: Peer;
  grants: ConfiguredGrant[];
  /** The agent's name in the audit, if there is one. */
  audit: string | undefined;
  /** Nanoseconds of a clock's step; 0 for exact clocks, negative for none. */
  clockStep: number;
  random: boolean;
  tty: boolean;
  /** What the page's console can do: `own`, show what is written on a terminal of its own; `raw`, hand over keys one by one; its size, if known. */
  console?: { own: boolean; raw: boolean; size?: { columns: number; rows: number } };
  /** Descriptors; 0 for the default. */
  files: number;
  /** Bytes of each memory mount; 0 for the default. */
  storage: number;
  /** Bytes of linear memory and of what the kernel holds for the agent, together; 0 for no limit. */
  held: number;
  /** Bytes of linear memory, for a module into which no limit could be written; 0 for none. */
  memory: number;
}

/** Why an agent is ended from outside. */
export type EndReason = 'killed' | 'timeout';

/** What a worker receives by message only, while no agent runs in it. */
export type Command =
  | { type: 'prepare'; modules: KernelModules; variant: Variant; mailbox?: SharedArrayBuffer }
  | { type: 'spawn'; id: number; module: WebAssembly.Module; config: AgentConfig };

/** What a device worker receives; `client` is an agent's number, `audit` its name in the audit, if there is one. */
export type DeviceCommand =
  | { type: 'prepare-devices'; kernel: WebAssembly.Module }
  /** Comes first for each client. `held` bounds the bytes that the worker holds for it; 0 is no bound. */
  | { type: 'device-admit'; client: number; held: number }
  | { type: 'device-grant'; request: number; client: number; identity: string; audit: string | undefined; device: string; terms: string[] }
  | ({ type: 'device-narrow'; request: number } & NarrowRequest)
  | { type: 'device-request'; client: number; bytes: Uint8Array }
  /** The page's audit function has been called for lines of this weight. */
  | { type: 'device-told'; client: number; weight: number }
  /** Asks for an answer once the client's earlier requests are done, and the audit of what they gave up has been sent. */
  | { type: 'device-settle'; client: number }
  | { type: 'device-forget'; client: number };

/** What a device worker sends. */
export type DeviceReport =
  | { type: 'device-granted'; request: number; tree?: RemoteTree; error?: string }
  | { type: 'device-narrowed'; request: number; narrowing: Narrowing }
  /** `taken` is how many more of the client's requests have been taken. */
  | { type: 'device-answer'; client: number; bytes: Uint8Array; taken: number }
  | { type: 'device-taken'; client: number; taken: number }
  | { type: 'device-audit'; client: number; line: string; weight: number }
  | { type: 'device-settled'; client: number }
  /** The last report about a client. */
  | { type: 'device-forgotten'; client: number }
  | { type: 'device-failed'; message: string };

/** Requests of one client that may be on their way to the device worker at once. The rest wait on the page, so that one client can't delay the others for long. */
export const DEVICE_WINDOW = 32;

/** The weight of one call of a page's function (of `audit` or `console`). A line of the audit weighs its length where that is more. */
export const TOLD = 256;

/** The weight of calls of the page's functions that may be outstanding. A sender that has more outstanding waits: those functions may be slow. */
export const UNTOLD_MAX = 64 << 10;

/** The weight of lines of the audit. */
export const auditWeight = (lines: readonly string[]): number => lines.reduce((sum, { length }) => sum + Math.max(length, TOLD), 0);

/** What may arrive while an agent runs: by message, or through the mailbox while its worker is blocked. */
export type Mail =
  | { type: 'input'; id: number; console: boolean; bytes: Uint8Array }
  | { type: 'input-end'; id: number; console: boolean; failed: boolean }
  | { type: 'resize'; id: number; columns: number; rows: number }
  | { type: 'output-read'; id: number; stream: number; count: number }
  | { type: 'output-closed'; id: number; stream: number }
  /** The page's functions have been called for output or audit of this weight. */
  | { type: 'told'; id: number; weight: number }
  /** The page has taken the last `console-raw`. */
  | { type: 'raw-taken'; id: number }
  | { type: 'kill'; id: number; reason: EndReason }
  | { type: 'request'; id: number; request: number; what: FileRequest; path: string; max?: number; bytes?: Uint8Array }
  /** Gives a request up. It is answered, with an error unless it has been already. */
  | { type: 'cancel'; id: number; of: number }
  | { type: 'usage'; id: number; request: number }
  | { type: 'remote'; id: number; peer: Peer; bytes: Uint8Array }
  | { type: 'remote-lost'; id: number; peer: Peer }
  /** A task of this agent is being started: its requests are served from now on. */
  | { type: 'admit'; id: number; client: number }
  | { type: 'serve'; id: number; client: number; bytes: Uint8Array }
  | { type: 'forget'; id: number; client: number }
  | { type: 'revoke'; id: number; request: number; at: string }
  | ({ type: 'narrow'; id: number; request: number } & NarrowRequest)
  | { type: 'adopt'; id: number; request: number; client: number; of: number; at: string; peer: Peer; tree: RemoteTree }
  | { type: 'dispose'; id: number };

/** Tells an idle worker to read its mailbox. */
export interface MailNotice {
  type: 'mail';
}

/** What a worker sends. `kept` is how many bytes an ended agent's kernel, with its files, still takes; `failed` says that the worker can't be used any more. */
export type Report =
  | { type: 'ready' }
  | { type: 'started'; id: number; timings: Pick<Timings, 'mount' | 'instantiate'>; usage: Usage }
  /** What the agent has used so far, in case its worker is lost. */
  | { type: 'used'; id: number; usage: Usage }
  | { type: 'output'; id: number; stream: number; bytes: Uint8Array; weight: number }
  | { type: 'input-taken'; id: number; console: boolean; count: number }
  | { type: 'console-raw'; id: number; on: boolean }
  | { type: 'answer'; request: number; error?: string; value?: unknown }
  | { type: 'remote'; id: number; peer: Peer; bytes: Uint8Array }
  | { type: 'served'; id: number; client: number; bytes: Uint8Array }
  /** The agent's archives, capabilities and mounts are in place, or its start is refused. */
  | { type: 'granted'; id: number; refused?: { code: CapfsErrorCode; message: string } }
  | { type: 'audit'; id: number; lines: string[]; weight: number }
  | { type: 'exit'; id: number; exit: Pick<Exit, 'code' | 'reason' | 'message' | 'usage'>; kept: number }
  | { type: 'failed'; message: string }
  | { type: 'room' };

/** The sending half of a connection between page and worker. */
export interface Sender<Outgoing> {
  post(message: Outgoing, transfer?: ArrayBuffer[]): void;
}

/** A connection between page and worker, as one of them sees it. */
export interface Port<Incoming, Outgoing> extends Sender<Outgoing> {
  listen(handler: (message: Incoming) => void): void;
}
