/// <reference lib="esnext.disposable" preserve="true" />
/** The package's main class. */
import { assetUrls, assetsFolder } from '../assets.js';
import { Abortable, unlessAborted } from '../both/abort.js';
import { IN_EVERY_KERNEL } from '../both/devices.js';
import { CapfsError, isErrno, messageOf, reportThrown, shownAddress, unloadable } from '../both/errors.js';
import { Peer, type AgentConfig, type ConfiguredGrant, type FileRequest, type KernelModules, type ModuleFacts, type RemoteTree } from '../both/protocol.js';
import type { CapfsOptions, ConsoleOptions, Grant, Program, ReadOptions, SpawnOptions, Variant } from '../both/types.js';
import { Agent, type AgentOwner } from './agent.js';
import { DeviceWorker } from './device-worker.js';
import { FileAccess } from './file-access.js';
import { HomeTree } from './home.js';
import { Kept } from './kept.js';
import { narrowed } from './narrow.js';
import { platform } from './platform.js';
import { WorkerPool, type PooledWorker } from './pool.js';
import { isAddress, isModule, isStream } from './realms.js';
import type { Tell } from './start/arriving.js';
import { grantPairs } from './start/grants.js';
import { checkId, findsByIdentity } from './start/identity.js';
import { canStream, checkModule, factsOf } from './start/module.js';
import { loadMounts } from './start/mounts.js';
import { finite, readCapfsOptions, readData, readGrant, readSpawnOptions } from './start/options.js';
import { compileKept, compileProgram, programName } from './start/program.js';
import { stub } from './stub.js';
import { TaskHost, type ChildOptions, type Running, type TaskOwner } from './task.js';
import { trustedMarkup } from './trusted.js';
import { chooseVariant } from './variant.js';

/** Tasks that there may be at once, unless told; as in the kernel. */
const CHILDREN = 64;

/** Workers at once, unless told. In browsers, starting more takes far longer than running agents one after the other. */
const WORKERS_MAX = 32;

const CLOSED = 'this Capfs has been closed';

export class Capfs extends FileAccess implements Disposable, AgentOwner, TaskOwner {
  readonly #agents = new Set<Agent>();
  /** How many tasks an agent and its descendants may have, and have. */
  readonly #running = new WeakMap<Agent, Running>();
  #nextId = 1;
  #devices: DeviceWorker | undefined;
  /** The number of the next device worker that is started. */
  #nextDevices: Peer = Peer.Devices;
  #closed = false;
  /** Starts under way. */
  readonly #starting = new Set<Abortable>();
  /** Agents that may have stored files open. */
  readonly #storing = new Set<Agent>();
  /**
   * The page is left, and the browser may keep it for a user who comes back (Firefox for half an hour). Its workers are suspended from now on, and stored files
   * that they have open could be opened by no other page.
   */
  readonly #left = ({ persisted }: PageTransitionEvent): void => {
    if (!persisted) return;
    for (const agent of [...this.#storing]) agent.endAtOnce('the page was left, and gave up the stored files that it had open');
  };

  private constructor(
    /** Which way system calls take. */
    readonly variant: Variant,
    /** The page's own tree; use the file methods instead. */
    readonly home: HomeTree,
    private readonly pool: WorkerPool,
    private readonly kept: Kept<Agent>,
    private readonly kernel: WebAssembly.Module,
    private readonly full: boolean,
    private readonly assets: URL | undefined,
  ) {
    super();
    if (full) home.serveTasks(new TaskHost(this, undefined));
    home.onLost(() => {
      for (const agent of this.#agents) agent.homeLost();
    });
  }

  /**
   * Loads the kernel and starts the spare workers.
   *
   * @throws CapfsError `OPTION_INVALID`; `VARIANT_UNAVAILABLE`; `FETCH_FAILED` where the kernel's files can't be loaded; `HOST` where there is no memory for it
   */
  static async create(given: CapfsOptions = {}): Promise<Capfs> {
    const options = readCapfsOptions(given);
    const variant = chooseVariant(options.variant);
    const full = options.capabilities ?? false;
    const assets = options.assets === undefined ? undefined : assetsFolder(options.assets);
    const modules = loadModules(variant, full, assets);
    // A failure reaches those who wait for the modules; without this it would be unhandled until there are workers.
    modules.catch(() => undefined);
    const kept = new Kept<Agent>();
    // The first worker starts while the modules are being loaded.
    const max = options.maxWorkers ?? WORKERS_MAX;
    const pool = new WorkerPool(modules, variant, options.spares ?? 1, { full, assets }, max, (of) => kept.evict((agent) => of(agent.worker)));
    try {
      const home = await HomeTree.create(modules, full);
      return new Capfs(variant, home, pool, kept, (await modules).kernel, full, assets);
    } catch (error) {
      pool.close(new Set());
      throw packageError(error);
    }
  }

  /** Agents that run, or have ended and still hold their files. */
  get agents(): Iterable<Agent> {
    return this.#agents;
  }

  /**
   * Compiles a program and checks that it can run as an agent. Its bytes are kept as long as the module, which is compiled again, once, where a
   * start limits its memory.
   *
   * @throws CapfsError `MODULE_…`, `FETCH_FAILED`
   */
  async compile(program: Program): Promise<WebAssembly.Module> {
    const module = await compileKept(program);
    checkModule(module);
    return module;
  }

  /**
   * Reads a grant as a start does, without granting anything: for pages on which people write grants. Returns where it would appear.
   *
   * @throws CapfsError `GRANT_INVALID`, with what is wrong with it
   */
  checkGrant(grant: Grant): string {
    const [device, terms] = grantPairs(readGrant(grant));
    return this.#checkGrant(device, terms);
  }

  #checkGrant(device: string, terms: string[]): string {
    this.#mayGrant(device);
    return this.home.checkGrant(device, terms);
  }

  /**
   * Starts an agent. What it is given is read once, and copied, before this returns; changing it later changes nothing.
   *
   * @throws CapfsError `OPTION_INVALID`, `MODULE_…`, `MEMORY_LIMIT`, `FETCH_FAILED`, `ARCHIVE_INVALID`, `GRANT_INVALID`, `STORAGE_UNAVAILABLE`, `STORAGE_BUSY`,
   *   `STORAGE_DAMAGED`, `VARIANT_UNAVAILABLE`, `ABORTED`, `CLOSED`, `HOST`
   */
  async spawn(program: Program, options: SpawnOptions = {}): Promise<Agent> {
    return this.spawnChild(isAddress(program) ? String(program) : program, readSpawnOptions(options), undefined);
  }

  /** Starts an agent, as a task of another where there is one; not for users. */
  async spawnChild(program: Program, options: ChildOptions, parent: Agent | undefined): Promise<Agent> {
    if (this.#closed) throw new CapfsError('CLOSED', CLOSED);
    const starting = new Abortable(options.signal);
    this.#starting.add(starting);
    try {
      const agent = await this.#start(program, { ...options, limits: finite(options.limits) }, parent, starting.signal);
      agent.follow(options.signal);
      return agent;
    } catch (error) {
      // Whichever step has failed, closing is the reason.
      throw this.#closed ? new CapfsError('CLOSED', CLOSED) : packageError(error);
    } finally {
      starting.end();
      this.#starting.delete(starting);
    }
  }

  /** The steps of a start. Each can be given up, and leaves nothing behind then. */
  async #start(program: Program, options: ChildOptions, parent: Agent | undefined, signal: AbortSignal): Promise<Agent> {
    const begun = performance.now();
    const unless = <Value>(promise: Promise<Value>) => unlessAborted(promise, signal, 'the start of the agent');
    const stdin = options.stdin ?? 'closed';
    const streamed = stdin === 'pipe' || isStream(stdin);
    if (streamed && this.variant.wait === 'none') {
      throw new CapfsError('VARIANT_UNAVAILABLE', 'without JSPI and without shared memory an agent can\'t wait for its standard input: give it as a whole');
    }
    const grants = (options.grants ?? []).map(grantPairs);
    for (const [device, terms] of grants) this.#checkGrant(device, terms);
    const all = Object.values(options.mounts ?? {}).flat();
    if (this.variant.wait === 'none' && all.some(({ type }) => type === 'shared')) {
      throw new CapfsError('VARIANT_UNAVAILABLE', 'without JSPI and without shared memory an agent can\'t wait for the page\'s answers: there are no shared mounts');
    }
    const stored = all.some(({ type }) => type === 'opfs') || grants.some(([device]) => device === 'opfs');
    if (stored && typeof globalThis.navigator?.storage?.getDirectory !== 'function') {
      throw new CapfsError('STORAGE_UNAVAILABLE', 'there are no stored files here: they need a browser\'s private file system, on a page from https or localhost');
    }
    const id = options.id === undefined ? undefined : checkId(options.id);
    // Not for a task: its capabilities are made of its parent's, and found by the parent's identity.
    const finding = parent ? undefined : grants.find(([device, terms]) => findsByIdentity(device, terms));
    if (finding && id === undefined && isModule(program)) {
      const why = 'what is kept is found by the identity of the agent, and a compiled module has none: give it an id, or the grant a name';
      throw new CapfsError('GRANT_INVALID', `${finding[0]}: ${why}`);
    }
    const name = options.name ?? programName(program);
    const progress = options.progress && told(options.progress, signal);
    const [{ module, digest }, { mounts, own }] = await unless(
      Promise.all([
        compileProgram(program, { memory: options.limits?.memory, digest: finding !== undefined && id === undefined, signal, progress }),
        loadMounts(options.mounts ?? {}, signal, progress),
        // The directories that a task is given are its parent's, and have been checked (`TaskHost.start`).
        parent ? undefined : this.#checkShared(options.mounts ?? {}),
      ]),
    );
    checkModule(module);
    const compiled = performance.now();
    const worker = await this.pool.take(signal, parent === undefined);
    const timings = { worker: performance.now() - compiled, compile: compiled - begun };
    // From here on the agent holds the worker, and gives it back when it ends.
    const agent = new Agent(this.#nextId++, this, worker, begun, timings, options, parent);
    this.#agents.add(agent);
    if (stored) this.#stores(agent);
    const identity = id ?? digest ?? '';
    try {
      worker.adopt(agent.id, agent);
      this.home.admit(agent.id);
      parent?.admitTask(agent.id);
      const prepared = grants.map(([device, terms]) =>
        parent ? this.#narrow(agent, parent, device, terms, options) : this.#prepare(agent, name, identity, device, terms, options),
      );
      const configured = prepared.length > 0 ? await unless(Promise.all(prepared)) : [];
      const config = this.#config(agent, name, identity, options, parent, mounts, configured, program, factsOf(module));
      if (config.stdin) own.push(config.stdin.buffer as ArrayBuffer);
      agent.begin(module, config, own);
      // A single mount conflicts with nothing, so nothing can refuse it.
      const refusable = stored || grants.length > 0 || all.length > 1 || all.some(({ type }) => type === 'archive');
      const refused = refusable ? await unless(agent.granted) : undefined;
      agent.alive();
      if (refused !== undefined) throw refused;
      if (isStream(stdin)) {
        if (stdin.locked) {
          throw new CapfsError('OPTION_INVALID', 'stdin is a stream that somebody else began to read while the agent was being started: it is locked');
        }
        agent.readFrom(stdin);
      }
    } catch (error) {
      agent.abandon(messageOf(error));
      throw error;
    }
    return agent;
  }

  /**
   * Checks that directories to be shared exist. Later only the agent would notice, by a directory that can't be used.
   *
   * @throws CapfsError `OPTION_INVALID`
   */
  async #checkShared(mounts: NonNullable<SpawnOptions['mounts']>): Promise<void> {
    const shared = Object.entries(mounts).flatMap(([at, mount]) =>
      [mount].flat().flatMap((member) => (member.type === 'shared' ? [[at, member.path] as const] : [])),
    );
    await Promise.all(
      shared.map(async ([at, path]) => {
        const { type } = await this.stat(path).catch((error: unknown) => {
          if (!(error instanceof CapfsError) || !isErrno(error.code)) throw error;
          throw new CapfsError('OPTION_INVALID', `mounts[${JSON.stringify(at)}] can't share ${path} of the page's tree: ${error.code}`, { cause: error });
        });
        if (type !== 'directory') throw new CapfsError('OPTION_INVALID', `mounts[${JSON.stringify(at)}] can't share ${path} of the page's tree: it is no directory`);
      }),
    );
  }

  /** Has the agent ended when its page is left, as it may have stored files open. */
  #stores(agent: Agent): void {
    if (this.#storing.size === 0) addEventListener('pagehide', this.#left);
    this.#storing.add(agent);
    agent.atEnd(() => {
      this.#storing.delete(agent);
      if (this.#storing.size === 0) removeEventListener('pagehide', this.#left);
    });
  }

  /** What the agent's worker is sent for its start. */
  #config(
    agent: Agent,
    name: string,
    identity: string,
    options: ChildOptions,
    parent: Agent | undefined,
    mounts: AgentConfig['mounts'],
    grants: ConfiguredGrant[],
    program: Program,
    facts: ModuleFacts | undefined,
  ): AgentConfig {
    return {
      ...(facts ? { facts } : {}),
      args: [name, ...(options.args ?? [])],
      identity,
      env: Object.entries(options.env ?? {}).map(([name, value]) => ({ name, value })),
      mounts,
      ...(options.dir === undefined ? {} : { dir: options.dir }),
      shares: parent ? Peer.Parent : Peer.Home,
      grants,
      audit: audited(agent, name, options),
      clockStep: clockStep(options.clock ?? 'exact'),
      random: options.random ?? true,
      tty: options.tty ?? false,
      ...(options.console ? { console: consoleConfig(options.console) } : {}),
      files: options.limits?.files ?? 0,
      storage: options.limits?.storage ?? 0,
      held: options.limits?.memory ?? 0,
      memory: isModule(program) ? (options.limits?.memory ?? 0) : 0,
      ...whole(options.stdin ?? 'closed'),
    };
  }

  /** Makes a capability in another kernel where the agent's own worker can't have it. */
  async #prepare(agent: Agent, name: string, identity: string, device: string, terms: string[], options: SpawnOptions): Promise<ConfiguredGrant> {
    this.#mayGrant(device);
    if (device === 'dom') return { device, terms, from: { peer: Peer.Home, tree: await this.#grantDom(agent, terms, options.dom) } };
    if (device === 'task') return { device, terms, from: { peer: Peer.Home, tree: this.#grantTasks(agent, terms, options) } };
    if (this.variant.wait !== 'sab' || IN_EVERY_KERNEL.has(device)) return { device, terms };
    this.#devices ??= new DeviceWorker(this.#nextDevices++, this.kernel, this.assets, () => {
      this.#devices = undefined;
    });
    const devices = this.#devices;
    try {
      const held = options.limits?.memory ?? 0;
      const tree = await devices.grant(agent.id, agent, identity, audited(agent, name, options), device, terms, held);
      return { device, terms, from: { peer: devices.peer, tree } };
    } catch (error) {
      if (error instanceof CapfsError) throw error;
      throw new CapfsError('GRANT_INVALID', `${device}: ${messageOf(error)}`);
    }
  }

  /** Narrows a capability of a parent for its task. */
  async #narrow(agent: Agent, parent: Agent, device: string, terms: string[], options: SpawnOptions): Promise<ConfiguredGrant> {
    const tree = await narrowed(parent, this.#devices, { client: agent.id, tree: 0, device, terms, check: false });
    if (device === 'task') return { device, terms, from: { peer: Peer.Home, tree: this.#grantTasks(agent, terms, options) } };
    return { device, terms, from: { peer: Peer.Parent, tree } };
  }

  /** Checks that an agent's task could be granted this; not for users. */
  async checkNarrowed(parent: Agent, flag: string): Promise<void> {
    const [device, terms] = grantPairs(flag);
    await narrowed(parent, this.#devices, { client: 0, tree: 0, device, terms, check: true });
  }

  /** Checks that the kernel that was loaded can have this device. */
  #mayGrant(device: string): void {
    if (this.full || IN_EVERY_KERNEL.has(device)) return;
    throw new CapfsError('GRANT_INVALID', `${device} needs the kernel with capabilities: Capfs.create({ capabilities: true })`);
  }

  async #grantDom(agent: Agent, terms: string[], element: HTMLElement | undefined): Promise<RemoteTree> {
    if (this.variant.wait === 'none') {
      throw new CapfsError('VARIANT_UNAVAILABLE', 'without JSPI and without shared memory an agent can\'t wait for the page: it has no dom');
    }
    if (!element) throw new CapfsError('GRANT_INVALID', 'dom: it needs an element of the page: spawn(program, { dom: element })');
    if (typeof Element !== 'function') throw new CapfsError('GRANT_INVALID', 'dom: there is no page here');
    const { domPart } = await import('./dom/part.js');
    const part = domPart(element, trustedMarkup);
    agent.atEnd(() => part.end());
    // The agent may have been ended meanwhile.
    agent.alive();
    agent.takeTurns();
    try {
      return this.home.grantDom(agent.id, terms, part);
    } catch (error) {
      part.end();
      throw error;
    }
  }

  #grantTasks(agent: Agent, terms: string[], options: SpawnOptions): RemoteTree {
    if (this.variant.wait === 'none') {
      throw new CapfsError('VARIANT_UNAVAILABLE', 'without JSPI and without shared memory an agent can\'t wait for the page: it has no tasks');
    }
    const { clock, random, limits: { time: _, ...limits } = {} } = options;
    const inherited = { ...(clock === undefined ? {} : { clock }), ...(random === undefined ? {} : { random }), limits };
    const running = (agent.parent && this.#running.get(agent.parent)) ?? { max: childrenOf(terms), count: 0 };
    this.#running.set(agent, running);
    const host = new TaskHost(this, agent, inherited, running);
    agent.atEnd(() => host.end());
    return this.home.grantTasks(agent.id, terms, host);
  }

  /** An agent by its number; not for users. */
  agent(id: number): Agent | undefined {
    return [...this.#agents].find((agent) => agent.id === id);
  }

  /** The device worker, if one was started; not for users. */
  devices(): DeviceWorker | undefined {
    return this.#devices;
  }

  /** Ends every agent and every worker, and gives up starts under way. Audits are still told, a moment later, what agents have done until now. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const starting of [...this.#starting]) starting.abort(new CapfsError('CLOSED', CLOSED));
    // Nothing more arrives from a terminated worker, not even what it has sent already.
    const heard = [...this.#agents].filter((agent) => agent.heard);
    for (const agent of heard) agent.closeHeard(CLOSED);
    const devices = this.#devices;
    if (heard.length === 0) devices?.end(CLOSED);
    else void Promise.all(heard.map(({ exit }) => exit)).then(() => devices?.end(CLOSED));
    this.pool.close(new Set(heard.map(({ worker }) => worker)));
    this.home.close(CLOSED);
    this.#agents.clear();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  protected request(what: FileRequest, path: string, bytes?: Uint8Array, reading?: ReadOptions): Promise<unknown> {
    if (this.#closed) return Promise.reject(new CapfsError('CLOSED', CLOSED));
    return this.home.request(what, path, bytes, reading);
  }

  /** An agent has ended, and its files are kept; not for users. */
  keeps(agent: Agent, bytes: number): void {
    this.kept.add(agent, bytes);
  }

  /** An agent has ended in this worker; not for users. */
  ended(worker: PooledWorker, reusable: boolean): void {
    if (reusable) this.pool.giveBack(worker);
    else worker.end('its agent could not be ended in another way, or the kernel failed');
  }

  /** An agent holds no files any more; not for users. */
  released(agent: Agent): void {
    this.kept.remove(agent);
    this.#agents.delete(agent);
  }
}

/** Makes a `CapfsError` of whatever was thrown; what isn't one already is an unexpected failure. */
function packageError(error: unknown): CapfsError {
  return error instanceof CapfsError ? error : new CapfsError('HOST', messageOf(error), { cause: error });
}

/** Calls `progress` until the start is given up. What it throws is reported, and the start goes on. */
function told(progress: Tell, signal: AbortSignal): Tell {
  return (arrived) => {
    if (signal.aborted) return;
    try {
      progress(arrived);
    } catch (error) {
      reportThrown(error);
    }
  };
}

/** The agent's name in the audit; undefined without an audit. */
const audited = (agent: Agent, name: string, { audit }: SpawnOptions): string | undefined => (audit ? `${name} ${agent.id}` : undefined);

/** How many tasks a grant allows. Whether its terms are valid the kernel checks later. */
function childrenOf(terms: string[]): number {
  const at = terms.findLastIndex((key, index) => index % 2 === 0 && key === 'children');
  return at < 0 ? CHILDREN : Number(terms[at + 1]);
}

/** A clock's step in nanoseconds, as the kernel takes it: 0 for exact clocks, -1 for none. */
function clockStep(clock: NonNullable<SpawnOptions['clock']>): number {
  if (clock === 'exact') return 0;
  if (clock === 'none') return -1;
  return Math.ceil(clock * 1e6);
}

function consoleConfig({ write, raw, size }: ConsoleOptions): NonNullable<AgentConfig['console']> {
  return { own: write !== undefined, raw: raw !== undefined, ...(size ? { size: { columns: size.columns, rows: size.rows } } : {}) };
}

/** Standard input that is given as a whole is sent with the start. */
function whole(stdin: NonNullable<SpawnOptions['stdin']>): Pick<AgentConfig, 'stdin'> {
  if (stdin === 'pipe' || isStream(stdin)) return {};
  if (stdin === 'closed') return { stdin: new Uint8Array() };
  return { stdin: readData(stdin, 'stdin') };
}

async function loadModules(variant: Variant, full: boolean, assets: URL | undefined): Promise<KernelModules> {
  const [stubModule, kernel, adapter] = await Promise.all([
    // The stub is in the code itself: bundlers make a `data:` URL of so small a file, which a page's policy may forbid to fetch.
    WebAssembly.compile(Uint8Array.from(atob(stub), (character) => character.charCodeAt(0))),
    ...assetUrls(variant, full, assets).map(loadModule),
  ]);
  return { kernel: kernel!, full, stub: stubModule!, adapter: adapter! };
}

async function loadModule(url: URL): Promise<WebAssembly.Module> {
  try {
    const response = await platform().read(url);
    if (!response.ok) throw new Error(`the server answers ${response.status}`);
    return await (canStream(response) ? WebAssembly.compileStreaming(response) : WebAssembly.compile(await response.arrayBuffer()));
  } catch (error) {
    throw unloadable(shownAddress(url.href), error);
  }
}
