/** One kernel: an instance of the module with bindings of its own. */
import { CapfsError, kernelError, messageOf, type CapfsErrorCode } from '../both/errors.js';
import type { BindingsFactory, KernelBindings } from '../both/kernels.js';
import type { CodedError, OpenDirectory } from '../kernel-bindings.js';
import type { AgentConfig, FileRequest, MountMember, Peer } from '../both/protocol.js';

/** The raw exports of the kernel, which the bindings don't wrap. */
export interface KernelExports {
  readonly memory: WebAssembly.Memory;
  readonly __indirect_function_table: WebAssembly.Table;
  readonly [call: string]: unknown;
}

/** Descriptors that an agent may have open at once, unless told. */
const FILES_DEFAULT = 65_536;
/** The highest limit: descriptors are 32-bit numbers. */
const FILES_MAX = 2 ** 32 - 1;
/** Bytes that a memory mount may hold, unless told: 1 GiB. */
const STORAGE_DEFAULT = 2 ** 30;

/** What a kernel calls in JavaScript. */
export interface KernelHost {
  /** Takes what the agent prints. */
  output(stream: number, bytes: Uint8Array): void;
  /** Takes a request to a tree of another kernel. */
  remote(peer: Peer, bytes: Uint8Array): void;
  /** A wait may have ended. Called from inside the kernel, so it must not call the kernel back at once. */
  wake(): void;
  /** Turns raw mode of the console on or off: whether each key is handed over at once. */
  rawConsole(on: boolean): void;
  /** Takes a line of the audit. */
  audit(line: string): void;
}

export class KernelInstance {
  readonly bindings: KernelBindings;
  readonly exports: KernelExports;
  /** The kernel's panic message, if it has trapped. */
  panic: string | undefined;
  /** Handles of the devices of stored files, by directory. */
  readonly #volumes = new Map<string, number>();
  /** Handles of the devices of archives, by mount. */
  readonly #archives = new WeakMap<MountMember, number>();

  /** Instantiates at once; only workers may do that with a module of this size. */
  constructor(module: WebAssembly.Module, bindings: BindingsFactory) {
    this.bindings = bindings();
    this.exports = this.bindings.initSync({ module }) as unknown as KernelExports;
    this.bindings.report_panics((message: string) => {
      this.panic = message;
    });
  }

  /**
   * Reads the archives.
   *
   * @throws CapfsError `ARCHIVE_INVALID`
   */
  readArchives(config: AgentConfig): void {
    for (const member of config.mounts.flatMap(({ members }) => members)) {
      if (member.type !== 'archive') continue;
      try {
        this.#archives.set(member, this.bindings.archive_device(member.tar));
      } catch (error) {
        // A refusal of the kernel is a string; anything else is a failure of the kernel itself.
        if (typeof error !== 'string') throw error;
        throw new CapfsError('ARCHIVE_INVALID', `the archive can't be read: ${error}`);
      }
    }
  }

  /**
   * Opens what must be opened before it can be mounted: stored files. `start` comes next.
   *
   * @throws CapfsError `STORAGE_UNAVAILABLE`, `STORAGE_BUSY`, `STORAGE_DAMAGED`, `OPTION_INVALID`
   */
  async prepare(config: AgentConfig): Promise<void> {
    for (const member of config.mounts.flatMap(({ members }) => members)) {
      if (member.type !== 'opfs') continue;
      const { directory, quota, repair } = member;
      const known = this.#volumes.get(directory);
      try {
        this.#volumes.set(directory, known ?? (await this.bindings.opfs_device(directory, quota, repair)));
      } catch (error) {
        throw codedError(error) ?? error;
      }
    }
  }

  /** Sets the limit of what is held for the agent, and makes the standard streams and the console. */
  streams(config: AgentConfig, host: KernelHost, clockOnly: boolean): void {
    if (config.held > 0) this.bindings.limit_memory(config.held);
    const print = (stream: number, bytes: Uint8Array) => host.output(stream, bytes);
    const raw = config.console?.raw ? (on: boolean) => host.rawConsole(on) : undefined;
    this.bindings.streams({ print, tty: config.tty, clockOnly, ownConsole: config.console?.own ?? false, raw });
    if (config.console?.size) this.bindings.resize(config.console.size.columns, config.console.size.rows);
  }

  /** Makes the capabilities that the agent was granted, and returns their paths. `mount` comes next. */
  async grant(config: AgentConfig, host: KernelHost): Promise<string[]> {
    const paths: string[] = [];
    const audit = config.audit === undefined ? undefined : (line: string) => host.audit(line);
    for (const { device, terms, from } of config.grants) {
      try {
        const agent = config.audit ?? '';
        if (from === undefined) {
          paths.push(await this.bindings.grant({ identity: config.identity, agent, device, terms, audit }));
          continue;
        }
        const post = (bytes: Uint8Array) => host.remote(from.peer, bytes);
        paths.push(this.bindings.grant_from({ agent, device, terms, audit, peer: from.peer, tree: from.tree, post }));
      } catch (error) {
        const stored = codedError(error);
        // A wrong name of stored files is a wrong term of the grant.
        if (stored && stored.code !== 'OPTION_INVALID') throw stored;
        throw new CapfsError('GRANT_INVALID', `${device}: ${stored?.message ?? messageOf(error)}`);
      }
    }
    return paths;
  }

  /**
   * Mounts everything, capabilities included; `start` comes next.
   *
   * @throws CapfsError `GRANT_INVALID`, `OPTION_INVALID`: what can't be mounted. An errno, or `HOST`: what can't be put into a memory mount
   */
  mount(config: AgentConfig, host: KernelHost): void {
    const kernel = this.bindings;
    kernel.on_wake(() => host.wake());
    for (const { path: guest, members } of config.mounts) {
      for (const member of members) {
        const writable = member.type === 'archive' ? false : 'writable' in member ? member.writable : true;
        kernel.mount(this.#device(member, config, host), absolute(guest), writable, member.type === 'shared');
      }
    }
    try {
      kernel.mount_all();
    } catch (error) {
      throw codedError(error) ?? error;
    }
  }

  /** Makes the process and opens its directories, which may be of another kernel's tree. `granted` has the paths of capabilities. */
  async start(config: AgentConfig, clockOnly: boolean, granted: string[]): Promise<void> {
    const kernel = this.bindings;
    const preopens: OpenDirectory[] = [];
    for (const { path: guest, members: [first] } of config.mounts) {
      const at = absolute(guest);
      const isFile = first?.type === 'null' || first?.type === 'zero';
      const [name, path] = isFile ? [parent(guest), parent(at)] : [guest, at];
      if (!preopens.some((known) => known.name === name)) preopens.push({ name, path });
    }
    // Capabilities are preopened by their first directory: one descriptor for all of /cap.
    for (const path of granted) {
      const top = `/${path.split('/').find((name) => name !== '') ?? ''}`;
      const reached = preopens.some((known) => known.path === '/' || known.path === top);
      if (!reached) preopens.push({ name: top, path: top });
    }
    if (config.dir !== undefined) preopens.push({ name: '.', path: absolute(config.dir) });
    kernel.allow(config.clockStep, config.random);
    await kernel.start({ args: config.args, env: config.env, preopens, clockOnly, files: Math.min(config.files || FILES_DEFAULT, FILES_MAX) });
    if (config.stdin) {
      kernel.feed(false, config.stdin);
      kernel.end_input(false);
    }
  }

  #device(member: MountMember, { storage, shares }: AgentConfig, host: KernelHost): number {
    const kernel = this.bindings;
    switch (member.type) {
      case 'memory': {
        const device = kernel.memory_device(storage || STORAGE_DEFAULT);
        for (const { path, bytes } of member.files) {
          try {
            kernel.device_write(device, path, bytes);
          } catch (error) {
            throw kernelError(error, `putting ${path} into a memory mount`);
          }
        }
        return device;
      }
      case 'archive':
        return this.#archives.get(member)!;
      case 'shared':
        return kernel.remote_device(shares, 0, member.path, (bytes: Uint8Array) => host.remote(shares, bytes));
      case 'opfs':
        return this.#volumes.get(member.directory)!;
      case 'null':
        return kernel.null_device();
      case 'zero':
        return kernel.zero_device();
    }
  }

  /** Asks about files of the namespace; `answer` is called once, now or from a later `advance`. */
  request(
    number: number,
    what: FileRequest,
    path: string,
    bytes: Uint8Array | undefined,
    max: number | undefined,
    answer: (error: string | null, value: unknown) => void,
  ): void {
    try {
      this.bindings.request(number, what, path, bytes, max, answer);
    } catch (error) {
      answer(typeof error === 'string' ? error : (this.panic ?? String(error)), undefined);
    }
  }
}

/** The package's error for what the kernel has thrown, where that has a code. What is an `Error` is a failure of the kernel itself. */
function codedError(error: unknown): CapfsError | undefined {
  if (typeof error !== 'object' || error === null || error instanceof Error) return undefined;
  const { code, message } = error as CodedError;
  return new CapfsError(code as CapfsErrorCode, message);
}

/** The namespace's path for a guest path: `.` and relative names are below the root. */
function absolute(guest: string): string {
  const names = guest.split('/').filter((name) => name !== '' && name !== '.');
  return `/${names.join('/')}`;
}

function parent(path: string): string {
  const cut = path.replace(/\/+$/, '').lastIndexOf('/');
  return cut > 0 ? path.slice(0, cut) : '/';
}
