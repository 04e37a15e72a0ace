/// <reference lib="esnext.disposable" preserve="true" />
/** An agent, from the page's side. */
import { after } from '../both/abort.js';
import { ENDINGS, HOST_FAILED } from '../both/endings.js';
import { CapfsError, reportThrown } from '../both/errors.js';
import { noUsage } from '../both/holdings.js';
import {
  Peer, type AgentConfig, type EndReason, type FileRequest, type Mail, type Narrowing, type NarrowRequest, type RemoteTree, type Report,
} from '../both/protocol.js';
import type { AuditEvent, Data, Exit, KillOptions, ReadOptions, SpawnOptions, Timings, Usage } from '../both/types.js';
import { ConsoleEnd } from './console.js';
import type { DeviceClient, DeviceWorker } from './device-worker.js';
import { FileAccess } from './file-access.js';
import type { HomeTree } from './home.js';
import { KEPT_MAX, KEPT_MIB, type Keeper } from './kept.js';
import type { PooledWorker, ReportReceiver } from './pool.js';
import { isStream } from './realms.js';
import { checkSize, readKillOptions, readPath } from './start/options.js';
import { InputStream, OutputStream } from './streams.js';
import { Telling } from './telling.js';
import { Turns } from './turns.js';

/** Milliseconds that a killed agent has to end by itself, before its worker is terminated. */
const KILL_GRACE = 250;
/** Milliseconds to wait for an agent's usage, before the last one that is known is returned. */
const USAGE_GRACE = 100;

/** What an agent needs of the Capfs that started it. */
export interface AgentOwner {
  readonly home: HomeTree;
  /** The device worker, if one was started. */
  devices(): DeviceWorker | undefined;
  /** The agent with this number, if there is one. */
  agent(id: number): Agent | undefined;
  /** The agent has ended, and its files, of this many bytes, are kept. */
  keeps(agent: Agent, bytes: number): void;
  /** An agent has ended in this worker; `reusable` says whether it may run another. */
  ended(worker: PooledWorker, reusable: boolean): void;
  /** The agent's files have been released. */
  released(agent: Agent): void;
}

export class Agent extends FileAccess implements AsyncDisposable, DeviceClient, Keeper, ReportReceiver {
  /** Standard input; writes wait while the agent has enough to read. */
  readonly stdin: WritableStream<string | Uint8Array>;
  readonly stdout: ReadableStream<Uint8Array>;
  readonly stderr: ReadableStream<Uint8Array>;
  /** Resolves once the worker has made the mounts and capabilities, to the error where one was refused; not for users. */
  readonly granted: Promise<CapfsError | undefined>;
  /** How the agent ended. Never rejects. */
  readonly exit: Promise<Exit>;
  /** The phases of the start, as far as they are known. */
  readonly timings: Timings;
  readonly #input: InputStream;
  readonly #outputs: [OutputStream, OutputStream];
  readonly #console: ConsoleEnd;
  #resolveExit!: (exit: Exit) => void;
  #granted!: (error: CapfsError | undefined) => void;
  #exit: Exit | undefined;
  /** The last usage that the worker has reported. */
  #used = noUsage();
  #stopTimer: (() => void) | undefined;
  #grace: ReturnType<typeof setTimeout> | undefined;
  /** Why it is being ended from outside, while it is. */
  #ending: { reason: EndReason; why: string | undefined } | undefined;
  #removeSignal: (() => void) | undefined;
  /** Limits how much of the page's thread it takes; undefined unless it has a part of the page. */
  #turns: Turns | undefined;
  /** Passes answers of the page's tree on to the agent's kernel. */
  readonly #reply = (bytes: Uint8Array): void => this.worker.send({ type: 'remote', id: this.id, peer: Peer.Home, bytes });
  readonly #audit: ((event: AuditEvent) => void) | undefined;
  /** Calls the page's functions, in slices. */
  readonly #telling = new Telling();
  /** Set when it has ended in its worker, while its last audit and output are still being passed on; `kept` is the size of its files, if they are kept. */
  #over: { kept: number | undefined } | undefined;
  /** Why its files aren't available any more, once they aren't. */
  #released: string | undefined;
  /** Whether its start has been sent to the worker. */
  #begun = false;
  /** Its worker has said that it stands, and enters it. */
  #started = false;
  #lost: string | undefined;
  /** The outstanding question about its usage. */
  #asked: Promise<Usage> | undefined;
  /** Set when `Capfs` is closed, to the reason: requests fail from then on, while its audit is still passed on. */
  #closed: string | undefined;
  readonly #time: number | undefined;
  /** Functions to call when it has ended. */
  readonly #endings: (() => void)[] = [];

  /** Made by `Capfs.spawn`. */
  constructor(
    readonly id: number,
    private readonly owner: AgentOwner,
    /** The worker in which it runs, or ran; not for users. */
    readonly worker: PooledWorker,
    private readonly begun: number,
    timings: Pick<Timings, 'worker' | 'compile'>,
    options: SpawnOptions,
    /** The agent whose task it is. */
    readonly parent?: Agent,
  ) {
    super();
    this.timings = { ...timings, mount: 0, instantiate: 0 };
    this.exit = new Promise((resolve) => {
      this.#resolveExit = resolve;
    });
    this.granted = new Promise((resolve) => {
      this.#granted = resolve;
    });
    const output = (stream: number) =>
      new OutputStream(
        (count) => {
          this.#tellWorker({ type: 'output-read', id, stream, count });
        },
        () => this.worker.send({ type: 'output-closed', id, stream }),
      );
    this.#outputs = [output(1), output(2)];
    [this.stdout, this.stderr] = [this.#outputs[0].readable, this.#outputs[1].readable];
    this.#input = new InputStream(
      (bytes) => this.worker.send({ type: 'input', id, console: false, bytes }),
      (failed) => this.worker.send({ type: 'input-end', id, console: false, failed }),
      inputClosed(options.stdin ?? 'closed'),
    );
    this.#console = new ConsoleEnd(
      options.console ?? {},
      `${options.name ?? 'agent'} ${id}`,
      (bytes) => this.worker.send({ type: 'input', id, console: true, bytes }),
      (failed) => this.worker.send({ type: 'input-end', id, console: true, failed }),
    );
    this.stdin = this.#input.writable;
    this.#time = options.limits?.time;
    this.#audit = options.audit;
  }

  /** Writes to standard input; resolves when the bytes have been sent. */
  write(data: Data): Promise<void> {
    return this.#input.write(data);
  }

  /** Closes standard input: the agent reads its end. */
  closeStdin(): Promise<void> {
    return this.#input.close();
  }

  /**
   * Types into the terminal of the agent's console.
   *
   * @throws CapfsError `CLOSED` where its console has no terminal of its own (`console.write`), or the agent has ended
   */
  async type(data: Data): Promise<void> {
    if (!this.#console.keyboard) throw new CapfsError('CLOSED', 'the console is on the standard streams: write to those');
    await this.#console.keyboard.write(data);
  }

  /**
   * Tells the agent that its console has another size.
   *
   * @throws CapfsError `OPTION_INVALID` for what is no size
   */
  resize(columns: number, rows: number): void {
    checkSize(columns, rows);
    if (!this.#exit) this.worker.send({ type: 'resize', id: this.id, columns, rows });
  }

  /** Ends the agent, whatever it does. What it printed before can still be read, unless it is to be discarded. */
  async kill(options: KillOptions = {}): Promise<Exit> {
    if (readKillOptions(options).discardOutput) for (const output of this.#outputs) output.discard();
    this.#end('killed');
    return this.exit;
  }

  /**
   * Takes the capability at `at` away, for good: whatever is open there fails with `ENODEV` from now on. Whether there
   * was one.
   */
  async revoke(at: string): Promise<boolean> {
    readPath(at);
    return this.#exit ? false : ((await this.worker.ask({ type: 'revoke', id: this.id, at })) as boolean);
  }

  /**
   * What the agent uses, or has used at its end. One that makes no system call where its worker blocks can't answer: then, 0.1 s later, it is what it
   * used when it was last heard of.
   *
   * @throws CapfsError `HOST` where it can't be asked
   */
  async usage(): Promise<Usage> {
    if (this.#exit) return this.#exit.usage;
    let stop: (() => void) | undefined;
    const known = new Promise<Usage>((resolve) => {
      stop = after(USAGE_GRACE, () => this.#used && resolve(this.#used));
    });
    try {
      // One question at a time: while it has no answer, another would have none either.
      this.#asked ??= this.#askUsage();
      return await Promise.race([this.#asked, known]);
    } finally {
      stop?.();
    }
  }

  async #askUsage(): Promise<Usage> {
    try {
      const used = (await this.worker.ask({ type: 'usage', id: this.id })) as Usage;
      // What was told last is what is known of it if its worker is ended.
      return (this.#used = used);
    } catch (error) {
      // It has ended, or is about to: the usage comes with its end.
      if (!(error instanceof CapfsError && error.code === 'CLOSED')) throw error;
      return (await this.exit).usage;
    } finally {
      this.#asked = undefined;
    }
  }

  /** Kills the agent if it runs, and releases its files. */
  async dispose(): Promise<void> {
    await this.kill();
    this.#release('the agent was disposed of');
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  protected async request(what: FileRequest, path: string, bytes?: Uint8Array, { maxBytes, signal }: ReadOptions = {}): Promise<unknown> {
    const gone = this.#released ?? this.#closed;
    if (gone !== undefined) throw new CapfsError('CLOSED', gone);
    try {
      const asked = { type: 'request', id: this.id, what, path, ...(maxBytes === undefined ? {} : { max: maxBytes }), ...(bytes ? { bytes } : {}) } as const;
      return await this.worker.ask(asked, signal);
    } catch (error) {
      if (this.#released !== undefined) throw new CapfsError('CLOSED', this.#released);
      throw error;
    }
  }

  /** Calls a function when the agent has ended; at once, if it has. Not for users. */
  atEnd(action: () => void): void {
    if (this.#exit) settled(action);
    else this.#endings.push(action);
  }

  /** Has its kernel admit a task of the agent; not for users. */
  admitTask(client: number): void {
    if (!this.#exit) this.worker.send({ type: 'admit', id: this.id, client });
  }

  /** Has its kernel serve a request from the kernel of a task; not for users. */
  serve(client: number, bytes: Uint8Array): void {
    if (this.#exit) this.owner.agent(client)?.parentLost();
    else this.worker.send({ type: 'serve', id: this.id, client, bytes });
  }

  /** Has its kernel narrow a capability; not for users. */
  async narrow(wanted: NarrowRequest): Promise<Narrowing> {
    if (this.#exit) return { refused: { errno: 'EIO', text: 'the parent has ended' } };
    return (await this.worker.ask({ type: 'narrow', id: this.id, ...wanted })) as Narrowing;
  }

  /** Has its kernel hand a tree that another kernel made for it on to a task; not for users. */
  async adopt(client: number, of: number, at: string, peer: Peer, tree: RemoteTree): Promise<RemoteTree> {
    if (this.#exit) throw new CapfsError('EIO', 'the parent has ended');
    return (await this.worker.ask({ type: 'adopt', id: this.id, client, of, at, peer, tree })) as RemoteTree;
  }

  /** Has its kernel close what a task had open there, even after the agent's end while its files are kept; not for users. */
  forgetTask(client: number): void {
    this.worker.send({ type: 'forget', id: this.id, client });
  }

  /** From now on limits how much of the page's thread its requests take; not for users. */
  takeTurns(): void {
    this.#turns ??= new Turns();
  }

  /** Its parent has ended; not for users. */
  parentLost(): void {
    this.#peerLost(Peer.Parent);
  }

  /** The device worker has answered; not for users. */
  answered(devices: Peer, bytes: Uint8Array): void {
    this.worker.send({ type: 'remote', id: this.id, peer: devices, bytes });
  }

  /** Takes a line of the audit from the device worker; not for users. */
  audited(line: string, told: () => void): void {
    this.#telling.add(steps([() => this.#tellAudit(line), told], (step) => step()));
  }

  /** Its parent's kernel has answered; not for users. */
  parentAnswered(bytes: Uint8Array): void {
    this.worker.send({ type: 'remote', id: this.id, peer: Peer.Parent, bytes });
  }

  /** The device worker is gone; not for users. */
  devicesLost(devices: Peer): void {
    this.#peerLost(devices);
  }

  /** The page's tree is gone; not for users. */
  homeLost(): void {
    this.#peerLost(Peer.Home);
  }

  #peerLost(peer: Peer): void {
    if (this.#released === undefined) this.worker.send({ type: 'remote-lost', id: this.id, peer });
  }

  /**
   * Sends its start to the worker, along with the buffers of `transfer`; not for users.
   *
   * @throws CapfsError where it has ended already, or what it is started with can't be handed to a worker
   */
  begin(module: WebAssembly.Module, config: AgentConfig, transfer: ArrayBuffer[]): void {
    this.alive();
    this.worker.spawn({ type: 'spawn', id: this.id, module, config }, transfer);
    this.#begun = true;
    if (this.#time !== undefined) this.#stopTimer = after(this.#time, () => this.#end('timeout', `its time was up: limits.time is ${this.#time} ms`));
  }

  /**
   * Checks that it was not ended from outside while it was being started; not for users.
   *
   * @throws CapfsError `HOST`, `ABORTED`
   */
  alive(): void {
    if (this.#lost !== undefined) throw new CapfsError('HOST', this.#lost);
    if (this.#exit && !this.#begun) throw new CapfsError('ABORTED', 'the agent was ended before it began');
  }

  /** Its start was given up: releases everything; not for users. */
  abandon(why: string): void {
    if (this.#begun) void this.dispose();
    else this.#finish({ code: HOST_FAILED, reason: 'host', message: why, usage: noUsage() }, 0);
  }

  /** Takes its standard input from a stream; not for users. */
  readFrom(stream: ReadableStream<Uint8Array>): void {
    this.#input.from(stream);
  }

  /** The start is over: from now on the signal ends the agent. Not for users. */
  follow(signal: AbortSignal | undefined): void {
    if (!signal || this.#exit) return;
    const abort = () => this.#end('killed', 'its signal was aborted');
    if (signal.aborted) return abort();
    signal.addEventListener('abort', abort, { once: true });
    this.#removeSignal = () => signal.removeEventListener('abort', abort);
  }

  /**
   * Ends it at once, with its worker; not for users. For a page that is about to be suspended, whose workers would take no messages any more.
   */
  endAtOnce(why: string): void {
    if (!this.#begun) return this.#end('killed', why);
    this.#cut({ code: ENDINGS.killed, reason: 'killed', message: why, usage: this.#used });
  }

  /** Whether it has an audit that may still be told something; not for users. */
  get heard(): boolean {
    return this.#audit !== undefined && this.#begun && !this.#exit;
  }

  /** `Capfs` is being closed: ends the agent with its worker once its audit has been told what it did. Not for users. */
  closeHeard(why: string): void {
    this.#closed = why;
    this.#end('killed', why);
  }

  /** Releases its files, as others have ended since and there is no room; not for users. */
  letGo(): void {
    this.#release(`the agent has ended, and its files are gone: the last ${KEPT_MAX} agents that ended keep theirs, and not more than ${KEPT_MIB} MiB together`);
  }

  #release(why: string): void {
    if (this.#released !== undefined) return;
    this.#released = why;
    this.#turns?.end();
    this.worker.forget(this.id);
    this.owner.home.forget(this.id);
    this.owner.devices()?.forget(this.id);
    this.parent?.forgetTask(this.id);
    this.owner.released(this);
  }

  /** What the worker reports; not for users. */
  receive(report: Extract<Report, { id: number }>): void {
    switch (report.type) {
      case 'started':
        Object.assign(this.timings, report.timings);
        this.#started = true;
        this.#used = report.usage;
        break;
      case 'output':
        this.timings.firstByte ??= performance.now() - this.begun;
        if (report.stream > 2) {
          const { stream, bytes } = report;
          // The length first: the function may transfer the buffer.
          const count = bytes.length;
          const mail = [{ type: 'output-read', id: this.id, stream, count } as const, { type: 'told', id: this.id, weight: report.weight } as const];
          this.#tell(this.#console.take(stream, bytes), ...mail);
        } else this.#outputs[report.stream === 2 ? 1 : 0].add(report.bytes);
        break;
      case 'input-taken':
        (report.console ? this.#console.keyboard : this.#input)?.taken(report.count);
        break;
      case 'console-raw':
        this.#tell(steps([report.on], (on) => this.#console.raw(on)), { type: 'raw-taken', id: this.id });
        break;
      case 'served':
        this.owner.agent(report.client)?.parentAnswered(report.bytes);
        break;
      case 'granted':
        this.#granted(report.refused && new CapfsError(report.refused.code, report.refused.message));
        break;
      case 'audit':
        this.#tell(steps(report.lines, (line) => this.#tellAudit(line)), { type: 'told', id: this.id, weight: report.weight });
        break;
      case 'remote':
        this.#remote(report.peer, report.bytes);
        break;
      case 'used':
        this.#used = report.usage;
        break;
      case 'exit':
        this.#ended(report.exit, report.exit.reason === 'host' ? undefined : report.kept);
    }
  }

  /** Hands a request of its kernel on to the peer. If that is gone, its kernel is told so. */
  #remote(peer: Peer, bytes: Uint8Array): void {
    if (peer === Peer.Parent) return this.parent?.serve(this.id, bytes);
    if (peer === Peer.Home) {
      const serve = () => {
        if (!this.owner.home.serve(this.id, bytes, this.#reply)) this.homeLost();
      };
      return this.#turns ? this.#turns.add(serve) : serve();
    }
    const devices = this.owner.devices();
    if (devices?.peer === peer) devices.request(this.id, bytes);
    else this.#peerLost(peer);
  }

  /** Sends mail to the worker, until the agent has ended. */
  #tellWorker(mail: Mail): void {
    if (!this.#exit) this.worker.send(mail);
  }

  /** Makes calls of the page's functions, and then sends the worker mail that says so. */
  #tell(calls: Iterable<void>, ...mail: Mail[]): void {
    this.#telling.add(
      (function* (agent: Agent) {
        try {
          yield* calls;
        } finally {
          for (const told of mail) agent.#tellWorker(told);
        }
      })(this),
    );
  }

  /** Nothing more comes from its worker: resolves `exit` after everything that it has sent has been passed on. */
  #ended(told: Omit<Exit, 'timings'>, files: number | undefined): void {
    if (this.#over || this.#exit) return;
    const closed = this.#closed;
    const kept = closed === undefined ? files : undefined;
    // The same outcome as of agents without an audit, which `close()` ends.
    const ends = closed !== undefined && told.reason === 'killed';
    const end: typeof told = ends ? { ...told, code: HOST_FAILED, reason: 'host', message: told.message ?? closed } : told;
    const over = { kept };
    this.#over = over;
    this.#stopTimer?.();
    clearTimeout(this.#grace);
    this.#granted(undefined);
    const finish = () =>
      this.#telling.add(
        (function* (agent: Agent) {
          try {
            yield* agent.#console.end();
          } finally {
            agent.#finish(end, over.kept);
          }
        })(this),
      );
    const devices = this.#audit && this.owner.devices();
    if (!devices) return finish();
    // The device worker audits the servers that it has asked when that is over. If the agent's kernel is lost it couldn't close its files there.
    if (kept === undefined) devices.forget(this.id);
    void devices.settled(this.id).then(finish);
  }

  /** Ends it at once, by terminating its worker. */
  #cut(end: Omit<Exit, 'timings'>): void {
    this.#ended(end, undefined);
    this.worker.end(end.message ?? 'the agent was ended with its worker');
  }

  /** Calls the page's audit function. What it throws is reported, and later events are told all the same. */
  #tellAudit(line: string): void {
    try {
      this.#audit?.(JSON.parse(line) as AuditEvent);
    } catch (error) {
      reportThrown(error);
    }
  }

  /** The worker is gone; not for users. */
  lost(message: string): void {
    this.#lost ??= message;
    this.#ended({ code: HOST_FAILED, reason: 'host', message, usage: this.#used }, undefined);
    // If it had already ended, its files are gone now.
    if (this.#over) this.#over.kept = undefined;
    this.#release(message);
  }

  /** Ends it from outside. `why` is what caused that, where the reason doesn't say it. */
  #end(reason: EndReason, why?: string): void {
    if (this.#over || this.#exit || this.#grace !== undefined) return;
    this.#ending = { reason, why };
    if (!this.#begun) return this.#finish({ code: ENDINGS[reason], reason, usage: noUsage() }, 0);
    this.worker.send({ type: 'kill', id: this.id, reason });
    this.#grace = setTimeout(() => {
      const idle = this.#started ? 'made no system call' : 'was still being started';
      const message = `${why ?? 'it was killed'}, and as it ${idle}, its worker was ended with it`;
      this.#ending = undefined;
      this.#cut({ code: ENDINGS[reason], reason, message, usage: this.#used });
    }, KILL_GRACE);
  }

  /** Resolves `exit`. `kept` is the size of its files; without it the worker can't be used any more, and they are gone. */
  #finish(end: Omit<Exit, 'timings'>, kept: number | undefined): void {
    if (this.#exit) return;
    this.timings.total = performance.now() - this.begun;
    const failed = this.#input.failure;
    const why = this.#ending?.reason === end.reason ? this.#ending.why : undefined;
    const message = [why, end.message, failed === undefined ? undefined : `standard input failed: ${failed}`].filter((part) => part !== undefined).join('; ');
    this.#exit = { ...end, ...(message === '' ? {} : { message }), timings: this.timings };
    this.#granted(undefined);
    this.#stopTimer?.();
    clearTimeout(this.#grace);
    this.#removeSignal?.();
    this.#input.end();
    for (const output of this.#outputs) output.end();
    this.#console.keyboard?.end();
    for (const action of this.#endings.splice(0)) settled(action);
    // Before the worker is given back, it must be known whether it still holds this agent's files.
    if (!this.#begun || kept === undefined) this.#release(end.message ?? 'the agent was ended before it began');
    else this.owner.keeps(this, kept);
    this.owner.ended(this.worker, kept !== undefined);
    this.#resolveExit(this.#exit);
  }
}

/** One step for each item. */
function* steps<Each>(all: readonly Each[], call: (each: Each) => void): Generator<void> {
  for (const each of all) yield call(each);
}

/** Calls one of several functions; what it throws is reported, and the others are called all the same. */
function settled(action: () => void): void {
  try {
    action();
  } catch (error) {
    reportThrown(error);
  }
}

/** Why nothing can be written to standard input from the start, where it is not the page that writes it. */
function inputClosed(stdin: NonNullable<SpawnOptions['stdin']>): string | undefined {
  if (stdin === 'pipe' || isStream(stdin)) return undefined;
  return stdin === 'closed' ? "standard input is closed: spawn(program, { stdin: 'pipe' }) opens it" : 'standard input was given as a whole';
}
