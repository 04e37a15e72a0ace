/** The messages between the page and its workers. */
import type { CapfsErrorCode } from './errors.js';
import type { Exit, Timings, Usage, Variant } from './types.js';

/** Which of the two kernels, and the folder of the package's files where that isn't the one of its modules. */
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

/** What a worker must know of a module beside the module. */
export interface ModuleFacts {
  /** The name under which it exports its start function, if it has one: it is not run by instantiating. */
  readonly start?: string;
  /** The functions that are answered with `ENOSYS`, module and name in turn. */
  readonly unanswered: readonly string[];
}

/** One member of a mount, with its data loaded. */
export type MountMember =
  | { type: 'memory'; files: [path: string, bytes: Uint8Array][]; writable: boolean }
  | { type: 'archive'; tar: Uint8Array }
  | { type: 'shared'; path: string; writable: boolean }
  | { type: 'opfs'; directory: string; quota: number; repair: boolean; writable: boolean }
  | { type: 'null' | 'zero' };

/** Why a question about an agent has no answer any more. */
export const DISPOSED = 'the agent was disposed of';

/** Another kernel of which this one has trees. */
export const enum Peer {
  /** The page's. */
  Home,
  /** That of the agent whose task this one is. */
  Parent,
  /** The first device worker's. Each that takes the place of one that has failed has the next number: what was that one's is never asked of another. */
  Devices,
}

/** A tree that one kernel has made for another: its number, and what its root is, as WASI numbers kinds of files. */
export type RemoteTree = Uint32Array;

/** A capability to mount: device, and keys and values in turn. Where another kernel has made it, whose and which tree. */
export interface ConfiguredGrant {
  device: string;
  terms: string[];
  from?: { peer: Peer; tree: RemoteTree };
}

/**
 * What a kernel answers that was asked to make less of a capability: the number and kind of the tree that was made here; the peer
 * and the tree that it must be made of, and the path at which the agent has it; or why not.
 */
export type Narrowing =
  | [what: 'here', tree?: number, kind?: number]
  | [what: 'there', peer: Peer, tree: number, at: string]
  | [what: 'refused', errno: string, text: string];

/** Of which of its capabilities a kernel is to make less: of tree `tree` of this client, or for 0 of what its agent holds. */
export interface NarrowRequest {
  client: number;
  tree: number;
  device: string;
  terms: string[];
  /** Makes nothing. */
  check: boolean;
}

export interface AgentConfig {
  /** What was read of its module; none if it was compiled by somebody else. */
  facts?: ModuleFacts;
  args: string[];
  /** Who it is, for what it keeps; empty where it keeps nothing by that. */
  identity: string;
  /** Standard input as a whole; none when the page writes it piece by piece. */
  stdin?: Uint8Array;
  /** Names and values in turn. */
  env: string[];
  mounts: [path: string, members: MountMember[]][];
  /** The directory that it knows as `.`, beside the names of the mounts. */
  dir?: string;
  /** Whose tree shared mounts are parts of. */
  shares: Peer;
  grants: ConfiguredGrant[];
  /** The agent's name in the audit, if there is one. */
  audit: string | undefined;
  /** Nanoseconds of a clock's step; 0 for exact clocks, negative for none. */
  clockStep: number;
  random: boolean;
  tty: boolean;
  /** What the page has for a console: a terminal of the console's own, a raw mode, columns and rows. */
  console?: { own: boolean; raw: boolean; size?: [columns: number, rows: number] };
  /** Descriptors; 0 for the default. */
  files: number;
  /** Bytes of each memory mount; 0 for the default. */
  storage: number;
  /** Bytes of linear memory and of what the kernel holds for the agent, together; 0 for no limit. */
  held: number;
  /** Bytes of linear memory, for a module into which no limit could be written; 0 for none. */
  memory: number;
}

export type FileRequest = 'read' | 'program' | 'write' | 'list' | 'stat' | 'make-dir' | 'remove';

/** Why an agent is ended from outside. */
export type EndReason = 'killed' | 'timeout';

/** What a worker receives by message only, while no agent runs in it. */
export type Command =
  | { type: 'prepare'; modules: KernelModules; variant: Variant; mailbox?: SharedArrayBuffer }
  | { type: 'spawn'; id: number; module: WebAssembly.Module; config: AgentConfig };

/** What a device worker receives; `client` is an agent's number, `audit` its name in the audit, if there is one. */
export type DeviceCommand =
  | { type: 'prepare-devices'; kernel: WebAssembly.Module }
  /** The first of a client. It makes the worker hold no more than so many bytes by all of its own; 0 is no bound. */
  | { type: 'device-admit'; client: number; held: number }
  | { type: 'device-grant'; request: number; client: number; identity: string; audit: string | undefined; device: string; terms: string[] }
  | ({ type: 'device-narrow'; request: number } & NarrowRequest)
  | { type: 'device-request'; client: number; bytes: Uint8Array }
  /** Of what the client's audit was sent the page has told its function so much. */
  | { type: 'device-told'; client: number; weight: number }
  /** Asks for an answer when what came before is done, and what was given up by it is told. */
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
  /** The last that is heard of a client. */
  | { type: 'device-forgotten'; client: number }
  | { type: 'device-failed'; message: string };

/** Requests of one client that may be on their way to the device worker at once. The others wait, so that no client's keep those of another for long. */
export const DEVICE_WINDOW = 32;

/** What a call of a function of the page's counts as; a line of the audit as its characters where it has more. */
export const TOLD = 256;

/** What may have been sent to functions of the page's that they were not told yet. Whoever has sent more waits: they may take their time. */
export const UNTOLD_MAX = 64 << 10;

/** What lines of the audit count as. */
export const auditWeight = (lines: readonly string[]): number => lines.reduce((sum, { length }) => sum + Math.max(length, TOLD), 0);

/** What may arrive while an agent runs: by message, or through the mailbox while its worker is blocked. */
export type Mail =
  | { type: 'input'; id: number; console: boolean; bytes: Uint8Array }
  | { type: 'input-end'; id: number; console: boolean; failed: boolean }
  | { type: 'resize'; id: number; columns: number; rows: number }
  | { type: 'output-read'; id: number; stream: number; count: number }
  | { type: 'output-closed'; id: number; stream: number }
  /** Functions of the page's were told so much. */
  | { type: 'told'; id: number; weight: number }
  /** The console is as the agent last wanted it. */
  | { type: 'raw-taken'; id: number }
  | { type: 'kill'; id: number; reason: EndReason }
  | { type: 'request'; id: number; request: number; what: FileRequest; path: string; max?: number; bytes?: Uint8Array }
  /** Gives a request up. It is answered, with an error unless it has been already. */
  | { type: 'cancel'; id: number; of: number }
  | { type: 'usage'; id: number; request: number }
  | { type: 'remote'; id: number; peer: Peer; bytes: Uint8Array }
  | { type: 'remote-lost'; id: number; peer: Peer }
  /** A task of the agent's comes: what it asks is taken from now on. */
  | { type: 'admit'; id: number; client: number }
  | { type: 'serve'; id: number; client: number; bytes: Uint8Array }
  | { type: 'forget'; id: number; client: number }
  | { type: 'revoke'; id: number; request: number; at: string }
  | ({ type: 'narrow'; id: number; request: number } & NarrowRequest)
  | { type: 'adopt'; id: number; request: number; client: number; of: number; at: string; peer: Peer; tree: [number: number, kind: number] }
  | { type: 'dispose'; id: number };

/** Tells an idle worker to look into its mailbox. */
export interface MailNotice {
  type: 'mail';
}

/** What a worker sends. `kept` is what an agent's files take, in bytes; `failed` says that the worker is of no more use. */
export type Report =
  | { type: 'ready' }
  | { type: 'started'; id: number; timings: Pick<Timings, 'mount' | 'instantiate'>; usage: Usage }
  /** What the agent has used until now, for when its worker is lost. */
  | { type: 'used'; id: number; usage: Usage }
  | { type: 'output'; id: number; stream: number; bytes: Uint8Array; weight: number }
  | { type: 'input-taken'; id: number; console: boolean; count: number }
  | { type: 'console-raw'; id: number; on: boolean }
  | { type: 'answer'; request: number; error?: string; value?: unknown }
  | { type: 'remote'; id: number; peer: Peer; bytes: Uint8Array }
  | { type: 'served'; id: number; client: number; bytes: Uint8Array }
  /** Its archives and capabilities are made, or it is refused. */
  | { type: 'granted'; id: number; refused?: [code: CapfsErrorCode, message: string] }
  | { type: 'audit'; id: number; lines: string[]; weight: number }
  | { type: 'exit'; id: number; exit: Pick<Exit, 'code' | 'reason' | 'message' | 'usage'>; kept: number }
  | { type: 'failed'; message: string }
  | { type: 'room' };

/** The way to the other side. */
export interface Sender<Outgoing> {
  post(message: Outgoing, transfer?: ArrayBuffer[]): void;
}

/** A connection to the other side. */
export interface Port<Incoming, Outgoing> extends Sender<Outgoing> {
  listen(handler: (message: Incoming) => void): void;
}
