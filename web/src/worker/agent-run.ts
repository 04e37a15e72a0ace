/** One agent's run inside a worker: its four instances, its ticks and its end. */
import { ENDINGS, HOST_FAILED, TRAPPED } from '../both/endings.js';
import { CapfsError, isErrno, messageOf } from '../both/errors.js';
import { noUsage } from '../both/holdings.js';
import {
  TOLD, UNTOLD_MAX, auditWeight, type AgentConfig, type EndReason, type KernelModules, type Mail, type Peer, type RemoteTree, type Report,
  type Sender,
} from '../both/protocol.js';
import { turn } from '../both/turn.js';
import type { Exit, Usage, Variant } from '../both/types.js';
import type { KernelExports, KernelHost, KernelInstance } from './kernel-instance.js';
import { OutputGate } from './output.js';
import { isMemoryError, whenThereIsRoom } from './room.js';
import type { Waitable, Waiting } from './waiting.js';

/** Slots that the adapter fills in the kernel's table. */
const MEMORY_SLOTS = 9;
/** System calls between two ticks, at most. A tick costs some 100 ns. */
const STRIDE_MAX = 64;
/** Milliseconds: before waits of at least this length, changes of stored files are committed. For shorter ones a commit takes too long. */
const SETTLE_FROM = 100;
/** Milliseconds after which an agent that makes calls lets the event loop run, where it can. */
const YIELD_AFTER = 8;
/** Lines of the audit in one message, at most. */
const AUDIT_BATCH = 32;
/** The weight of calls of the page's functions that may be outstanding where an agent can't wait (`none`). An agent that has more is ended. */
const UNTOLD_MAX_UNWAITING = 16 << 20;
/** Milliseconds between two reports of usage, which are needed if the worker is lost. */
const USED_EVERY = 100;
/** The first of the streams that go to the page's console functions: 3 is its screen, those behind it are messages. */
const SCREEN = 3;
const NEWLINE = 10;
const UNHEARD = "the agent did more than the page can be told of while it runs: in the variant wait 'none' it can't wait until its audit is heard";
/** Mail that can be delivered before streams and mounts exist. */
const AT_ONCE: ReadonlySet<Mail['type']> = new Set(['kill', 'remote', 'remote-lost', 'dispose']);
/** Errno of a call that the host does not have. */
const NOSYS = 52;

type Instances = { agent: WebAssembly.Instance; memory: WebAssembly.Memory };

export class AgentRun implements Waitable, KernelHost {
  readonly #output: OutputGate;
  #audit: string[] = [];
  /** The weight of the calls of the page's functions that are outstanding. */
  #untold = 0;
  /** Raw mode of the console: what the agent wants, what the page was told last, and whether the page's answer is outstanding. */
  readonly #raw = { wanted: false, told: false, pending: false };
  #end: EndReason | 'memory' | 'unheard' | undefined;
  #memory: WebAssembly.Memory | undefined;
  #stride = 1;
  #lastTick = 0;
  #lastTurn = 0;
  /** The program has ended by itself, and the files that it left open are being closed. */
  #closing = false;
  /** Ends the wait for a step of the start. */
  #wakeStart: (() => void) | undefined;
  #abandoned = false;
  #finished = false;
  #advancing = false;
  /** Mail that waits until the mounts are made; undefined once they are. */
  #deferred: Mail[] | undefined = [];
  /** The index of the first of the table entries by which the kernel reaches the agent's memory. */
  #base: number | undefined;
  /** What the agent had used at its end. */
  #usage: Usage | undefined;
  /** The last usage that was reported to the page, and when, by `Date.now()`. */
  #used: Usage | undefined;
  #lastUsed = 0;

  constructor(
    readonly id: number,
    readonly kernel: KernelInstance,
    private readonly config: AgentConfig,
    private readonly port: Sender<Report>,
    private readonly variant: Variant,
    private readonly waiting: Waiting,
    /** Takes mail out of the mailbox; undefined in variants without one. */
    private readonly poll: (() => void) | undefined,
  ) {
    this.#output = new OutputGate((stream, bytes) => {
      const weight = stream < SCREEN || variant.wait === 'none' ? 0 : TOLD * calls(stream, bytes);
      this.#untold += weight;
      this.port.post({ type: 'output', id, stream, bytes, weight }, [bytes.buffer as ArrayBuffer]);
    });
  }

  get ended(): boolean {
    return this.#end !== undefined || this.#abandoned;
  }

  get behind(): boolean {
    return this.#untold > UNTOLD_MAX;
  }

  /** The page's functions have been called for output or audit of this weight. */
  told(weight: number): void {
    this.#untold -= weight;
  }

  /** The page has taken the last change of raw mode. */
  rawTaken(): void {
    this.#raw.pending = false;
    this.#reportRaw();
  }

  /** Ends the agent at its next call, or where it waits. */
  kill(reason: EndReason): void {
    if (this.#finished) return;
    // The program has ended by itself: only the closing of what it left open is given up.
    if (this.#closing) this.#abandoned = true;
    else this.#end ??= reason;
    this.#wakeStart?.();
    this.waiting.wake();
  }

  /** Keeps mail that has to wait until the mounts are made. Returns whether it has been kept. */
  defers(mail: Mail): boolean {
    if (!this.#deferred || AT_ONCE.has(mail.type)) return false;
    this.#deferred.push(mail);
    return true;
  }

  /** The mounts are made, or never will be. Returns the mail that has waited for them. */
  stand(): Mail[] {
    const waited = this.#deferred ?? [];
    this.#deferred = undefined;
    return waited;
  }

  /** The kernel has trapped outside of the agent's calls, which ends the agent. Returns the message of the trap. */
  trapped(error: unknown): string {
    const message = this.kernel.panic ?? messageOf(error);
    this.kernel.panic ??= message;
    if (!this.#finished) this.#finish('host', HOST_FAILED, message);
    return message;
  }

  output(stream: number, bytes: Uint8Array): void {
    this.#output.take(stream, bytes);
  }

  remote(peer: Peer, bytes: Uint8Array): void {
    this.port.post({ type: 'remote', id: this.id, peer, bytes }, [bytes.buffer as ArrayBuffer]);
  }

  deadline(): number {
    return this.kernel.bindings.deadline();
  }

  beforeWait(): void {
    this.#reportUsed(Date.now());
    // Stored files are committed before long waits; otherwise by ticks.
    if (this.deadline() - performance.now() >= SETTLE_FROM) this.kernel.bindings.opfs_settle();
    this.#output.flush();
    this.#reportAudit();
    this.reportTaken();
  }

  /** Tells the page how much of the input that it sent has been read. */
  reportTaken(): void {
    for (const console of [false, true]) {
      const count = this.kernel.bindings.input_taken(console);
      if (count > 0) this.port.post({ type: 'input-taken', id: this.id, console, count });
    }
  }

  usage(): Usage {
    if (this.#usage) return this.#usage;
    const { calls, bytesRead, bytesWritten, filesPeak } = this.kernel.bindings.usage() ?? noUsage();
    const account = this.kernel.bindings.account_usage();
    const memory = this.#memory?.buffer.byteLength ?? 0;
    const held = { ...account.held, memory };
    // The kernel's own figure lags: it measures the agent's memory at its next call.
    const heldPeak = Math.max(account.peak, Object.values(held).reduce((sum, each) => sum + each));
    return { memory, calls, bytesRead, bytesWritten, filesPeak, held, heldPeak };
  }

  /** Reports the agent's usage to the page, from time to time. */
  #reportUsed(now: number): void {
    if (Math.abs(now - this.#lastUsed) < USED_EVERY) return;
    this.#lastUsed = now;
    this.#used = this.usage();
    this.port.post({ type: 'used', id: this.id, usage: this.#used });
  }

  wake(): void {
    this.waiting.wake();
    // Only one at a time: while the worker blocks, no microtask runs, and they would pile up.
    if (this.#advancing) return;
    this.#advancing = true;
    // The caller may be the kernel itself, so it goes on with the page's requests only after it has returned.
    queueMicrotask(() => {
      this.#advancing = false;
      try {
        this.kernel.bindings.advance();
      } catch (error) {
        this.trapped(error);
      }
    });
  }

  rawConsole(on: boolean): void {
    this.#raw.wanted = on;
    this.#reportRaw();
  }

  /** Tells the page to change raw mode, one change at a time. Changes that were undone before the page has answered are left out. */
  #reportRaw(): void {
    const { wanted, told, pending } = this.#raw;
    if (pending || wanted === told || this.#finished) return;
    Object.assign(this.#raw, { told: wanted, pending: true });
    this.#output.flush();
    this.port.post({ type: 'console-raw', id: this.id, on: wanted });
  }

  audit(line: string): void {
    this.#audit.push(line);
    if (this.#audit.length >= AUDIT_BATCH) this.#reportAudit();
  }

  #reportAudit(): void {
    if (this.#audit.length === 0) return;
    const lines = this.#audit.splice(0);
    const weight = auditWeight(lines);
    this.#untold += weight;
    this.port.post({ type: 'audit', id: this.id, lines, weight });
  }

  /** Makes and mounts everything whose refusal must reject the start, and reports that to the page. Returns the paths of the capabilities. */
  async #grant(): Promise<string[]> {
    try {
      this.kernel.readArchives(this.config);
      await this.kernel.prepare(this.config);
      const granted = this.config.grants.length > 0 ? await this.kernel.grant(this.config, this) : [];
      // If the agent was killed meanwhile, nobody waits for the report.
      if (this.#end) return granted;
      this.kernel.bindings.opfs_start(this.variant.wait !== 'jspi');
      this.kernel.mount(this.config, this);
      this.port.post({ type: 'granted', id: this.id });
      return granted;
    } catch (error) {
      if (error instanceof CapfsError && error.code !== 'HOST' && !isErrno(error.code)) this.port.post({ type: 'granted', id: this.id, refused: { code: error.code, message: error.message } });
      throw error;
    }
  }

  /** Takes a capability away. Returns whether there was one. */
  revoke(at: string): boolean {
    return this.kernel.bindings.revoke(at);
  }

  /** Hands a tree that another kernel has made for this agent on to the kernel of a task. */
  adopt({ client, of, at, peer, tree }: Extract<Mail, { type: 'adopt' }>): { value?: RemoteTree; error?: string } {
    try {
      const post = (bytes: Uint8Array) => this.remote(peer, bytes);
      return { value: this.kernel.bindings.adopt({ client, of, at, peer, tree, post }) };
    } catch (error) {
      return { error: String(error) };
    }
  }

  /**
   * Runs the agent to its end. `stands` is called before the agent begins, when its mounts are made and its mail can be delivered. Never rejects;
   * resolves to whether the worker can be used again.
   */
  async run(module: WebAssembly.Module, modules: KernelModules, stands?: () => void): Promise<boolean> {
    const begun = performance.now();
    try {
      this.kernel.streams(this.config, this, this.variant.wait === 'none');
      const granted = await this.#unlessEnded(this.#grant());
      if (this.#end) return this.#fail(undefined);
      await this.#unlessEnded(this.kernel.start(this.config, this.variant.wait === 'none', granted!));
      // The kernel has its own copy of these now.
      this.config.mounts = [];
      delete this.config.stdin;
      stands?.();
    } catch (error) {
      return this.#finish('host', HOST_FAILED, messageOf(error));
    }
    if (this.#end) return this.#fail(undefined);
    const mounted = performance.now();
    let instances: Instances;
    try {
      instances = await this.#instantiate(module, modules);
      if (this.#end) return this.#fail(undefined);
    } catch (error) {
      if (this.#end) return this.#fail(undefined);
      // The engine had no room for the instance. (A start function that runs out of stack is another error, and a trap.)
      if (isMemoryError(error)) return this.#finish('host', HOST_FAILED, `there is not enough memory to start the agent: ${messageOf(error)}`);
      return this.#fail(error);
    }
    this.#memory = instances.memory;
    const timings = { mount: mounted - begun, instantiate: performance.now() - mounted };
    this.#lastTurn = this.#lastUsed = Date.now();
    this.#used = this.usage();
    this.port.post({ type: 'started', id: this.id, timings, usage: this.#used });
    try {
      // The module's own start function first: it could not run before, as its calls need the adapter.
      for (const name of [this.config.facts?.start, '_start']) {
        if (name === undefined) continue;
        const entered = this.waiting.enter(instances.agent.exports[name] as Function);
        if (entered instanceof Promise) await entered;
      }
    } catch (error) {
      if (this.kernel.panic === undefined && !this.#end && this.kernel.bindings.exit_code() !== undefined) await this.#close();
      return this.#fail(error);
    }
    await this.#close();
    return this.#finish('exit', 0);
  }

  /** Waits for a step of the start, or until the agent is to end. In that case what the step has opened by then is closed when it is done. */
  async #unlessEnded<Value>(step: Promise<Value>): Promise<Value | undefined> {
    const ended = new Promise<undefined>((resolve) => {
      this.#wakeStart = () => resolve(undefined);
    });
    const late = () => {
      if (this.#finished) this.#closeLate();
    };
    step.then(late, late);
    const value = this.#end ? undefined : await Promise.race([step, ended]);
    this.#wakeStart = undefined;
    return value;
  }

  /** A step of the start was done only after the agent's end: closes what it has opened. */
  #closeLate(): void {
    if (this.kernel.panic !== undefined) return;
    try {
      this.kernel.bindings.opfs_release();
      this.kernel.bindings.end_process();
    } catch (error) {
      this.trapped(error);
    }
  }

  /** Closes what the program left open, and waits until that is finished, as if the program had closed it itself. */
  async #close(): Promise<void> {
    this.#closing = true;
    while (!this.kernel.bindings.finish() && !this.ended) await this.waiting.pause(this);
  }

  async #instantiate(module: WebAssembly.Module, modules: KernelModules): Promise<Instances> {
    const stub = new WebAssembly.Instance(modules.stub);
    const imports: Record<string, Record<string, WebAssembly.ImportValue>> = {};
    const wanted = WebAssembly.Module.imports(module);
    const facts = this.config.facts;
    const without = new Set(facts?.unanswered.map((unanswered) => `${unanswered.module} ${unanswered.name}`));
    // For modules about which nothing was read: WasmEdge adds socket calls of its own, and its sock_accept takes no flags.
    const foreignSockets = !facts && wanted.some(({ name }) => name.startsWith('sock_') && stub.exports[name] === undefined);
    for (const { module: from, name } of wanted) {
      if (without.has(`${from} ${name}`) || (foreignSockets && name === 'sock_accept')) {
        (imports[from] ??= {})[name] = () => NOSYS;
        continue;
      }
      const old = from === 'wasi_unstable' ? stub.exports[`unstable_${name}`] : undefined;
      (imports[from] ??= {})[name] = (old ?? stub.exports[name] ?? (() => NOSYS)) as WebAssembly.ImportValue;
    }
    const agent = await whenThereIsRoom(() => new WebAssembly.Instance(module, imports), () => this.#end !== undefined);
    const memory = agent.exports['memory'] as WebAssembly.Memory;
    const kernel = this.kernel.exports;
    const base = kernel.__indirect_function_table.grow(MEMORY_SLOTS);
    this.#base = base;
    new WebAssembly.Instance(modules.adapter, {
      agent: { memory },
      kernel: { ...(kernel as Record<string, WebAssembly.ImportValue>), table: kernel.__indirect_function_table, base },
      stub: { table: stub.exports['table'] as WebAssembly.Table },
      host: { slow: this.waiting.slow(this), tick: () => this.#tick(), ...copies(kernel, memory) },
    });
    this.kernel.bindings.attach(base, this.variant.memory === 'multi');
    return { agent, memory };
  }

  /** Runs between two calls of the agent. What it returns is described at `tick` in tools/build/src/adapter.rs. */
  #tick(): number {
    const now = Date.now();
    this.poll?.();
    if (now !== this.#lastTick) {
      const size = this.kernel.bindings.tick(now);
      if (this.config.memory > 0 && size > this.config.memory) this.#end ??= 'memory';
      this.#output.flush();
      this.#reportAudit();
      this.reportTaken();
      this.#reportUsed(now);
    }
    if (this.variant.wait === 'none' && this.#untold > UNTOLD_MAX_UNWAITING) this.#end ??= 'unheard';
    if (this.#end) return 0;
    // When calls are rare, each one ticks, so that clocks and kills lag by milliseconds, not by 64 calls.
    const since = Math.abs(now - this.#lastTick);
    this.#stride = since > 1 ? 1 : Math.min(STRIDE_MAX, this.#stride * 2);
    this.#lastTick = now;
    if (this.behind && this.variant.wait !== 'none') return -this.#stride;
    if (this.variant.wait === 'jspi' && Math.abs(now - this.#lastTurn) >= YIELD_AFTER) {
      this.#lastTurn = now;
      return -this.#stride;
    }
    return this.#stride;
  }

  #fail(error: unknown): boolean {
    if (this.kernel.panic !== undefined) return this.#finish('host', HOST_FAILED, this.kernel.panic);
    this.kernel.bindings.give_up();
    if (this.#end === 'memory') return this.#finish('memory', TRAPPED, `the agent used more than ${this.config.memory} bytes of memory`);
    if (this.#end === 'unheard') return this.#finish('host', HOST_FAILED, UNHEARD);
    if (this.#end) return this.#finish(this.#end, ENDINGS[this.#end]);
    const { bindings } = this.kernel;
    const [code, signal] = [bindings.exit_code(), bindings.exit_signal()];
    if (code !== undefined && signal !== undefined) return this.#finish('signal', code, `the agent raised signal ${signal}`);
    if (code !== undefined) return this.#finish('exit', code);
    return this.#finish('trap', TRAPPED, trapMessage(error));
  }

  #finish(reason: Exit['reason'], code: number, message?: string): boolean {
    if (this.#finished) return false;
    this.#finished = true;
    // After a trap of the kernel nothing in it can be called any more; what was synced is stored.
    let lost: string | undefined;
    if (this.kernel.panic === undefined) {
      try {
        lost = this.kernel.bindings.opfs_release();
        this.#usage = this.usage();
        this.#release();
      } catch (error) {
        [reason, code, message] = ['host', HOST_FAILED, this.trapped(error)];
      }
    }
    const text = [message, lost].filter((part) => part !== undefined).join('; ');
    const usage = (this.#usage ??= this.#used ?? noUsage());
    const exit = { code, reason, usage, ...(text === '' ? {} : { message: text }) };
    const report = () => {
      this.#output.flush();
      this.#reportAudit();
      this.port.post({ type: 'exit', id: this.id, exit, kept: this.kernel.exports.memory.buffer.byteLength });
    };
    // Requests that the end gives up finish in tasks of the event loop: the audit hears of them before the agent's end is reported.
    if (this.config.audit !== undefined && this.config.grants.length > 0 && this.variant.wait !== 'sab') void turn().then(report);
    else report();
    return reason !== 'host';
  }

  /** An ended agent keeps its files only: its descriptors are closed and its memory is released. */
  #release(): void {
    this.kernel.bindings.end_process();
    this.#memory = undefined;
    if (this.#base === undefined) return;
    const table = this.kernel.exports.__indirect_function_table;
    for (let slot = 0; slot < MEMORY_SLOTS; slot++) table.set(this.#base + slot, null);
  }
}

/** How many calls of the page's functions an output causes: one for the screen, or one for each line of messages. */
function calls(stream: number, bytes: Uint8Array): number {
  let count = 1;
  if (stream > SCREEN) for (const byte of bytes) if (byte === NEWLINE) count += 1;
  return count;
}

function trapMessage(error: unknown): string {
  // No Error means an exception of WebAssembly: some engines have no type for it, and JavaScript throws nothing into an agent.
  if (!(error instanceof Error)) return 'the program threw an exception that nobody caught';
  // Each engine has its own error type and message for an exhausted stack.
  if (/call stack|stack overflow|recursion/i.test(error.message)) return `stack overflow: ${error.message}`;
  return error.message;
}

/** The two copies that the `single` adapter imports. Each uses cached views, which are made anew when a memory has grown. */
function copies(kernel: KernelExports, agentMemory: WebAssembly.Memory) {
  let own = new Uint8Array(kernel.memory.buffer);
  let agent = new Uint8Array(agentMemory.buffer);
  const refresh = () => {
    // A memory that grows detaches its buffer, and a detached view has no length.
    if (own.length === 0) own = new Uint8Array(kernel.memory.buffer);
    if (agent.length === 0) agent = new Uint8Array(agentMemory.buffer);
  };
  return {
    copy_in: (to: number, from: number, length: number) => {
      refresh();
      own.set(agent.subarray(from >>> 0, (from >>> 0) + (length >>> 0)), to >>> 0);
    },
    copy_out: (to: number, from: number, length: number) => {
      refresh();
      agent.set(own.subarray(from >>> 0, (from >>> 0) + (length >>> 0)), to >>> 0);
    },
  };
}
