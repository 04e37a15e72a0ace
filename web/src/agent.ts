/// <reference lib="esnext.disposable" preserve="true" />
/** An agent, as the page holds it. */
import { ConsoleEnd } from './console.js';
import { CapfsError, kernelError } from './errors.js';
import type { DeviceClient, DeviceWorker } from './device-worker.js';
import { FileAccess } from './file-access.js';
import { heldOf } from './holdings.js';
import type { HomeTree } from './home.js';
import type { PooledWorker, ReportReceiver } from './pool.js';
import { Peer, type EndReason, type FileRequest, type Narrowing, type NarrowRequest, type RemoteTree, type Report } from './protocol.js';
import { InputStream, OutputStream } from './streams.js';
import type { AuditEvent, Exit, ReadOptions, SpawnOptions, Timings, Usage } from './types.js';

/** Milliseconds that an agent has to notice that it was killed, before its worker is ended with it. */
const KILL_GRACE = 250;
const ENDINGS: Record<EndReason, number> = { killed: 137, timeout: 124 };
/** The code of an agent whose kernel failed. */
const HOST_FAILED = 70;

/** What an agent needs of the Capfs that started it. */
export interface AgentOwner {
  readonly home: HomeTree;
  /** The device worker, if one was started. */
  devices(): DeviceWorker | undefined;
  /** The agent with this number, if there is one. */
  agent(id: number): Agent | undefined;
  /** The agent has ended; `reusable` says whether its worker may run another. */
  ended(agent: Agent, worker: PooledWorker, reusable: boolean): void;
  disposed(agent: Agent): void;
}

export class Agent extends FileAccess implements AsyncDisposable, DeviceClient, ReportReceiver {
  /** Standard input; writes wait while the agent has enough to read. */
  readonly stdin: WritableStream<string | Uint8Array>;
  readonly stdout: ReadableStream<Uint8Array>;
  readonly stderr: ReadableStream<Uint8Array>;
  /** What is wrong with what it was to be granted, if anything; not for users. */
  readonly granted: Promise<string | undefined>;
  /** How the agent ended. Never rejects. */
  readonly exit: Promise<Exit>;
  /** The phases of the start, as far as they are known. */
  readonly timings: Timings;
  readonly #input: InputStream;
  readonly #outputs: [OutputStream, OutputStream];
  readonly #console: ConsoleEnd;
  #resolveExit!: (exit: Exit) => void;
  #granted!: (error: string | undefined) => void;
  #exit: Exit | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #grace: ReturnType<typeof setTimeout> | undefined;
  #removeSignal: (() => void) | undefined;
  /** Takes the home's answers. */
  readonly #reply = (bytes: Uint8Array): void => this.worker.send({ type: 'remote', id: this.id, peer: Peer.Home, bytes });
  readonly #audit: ((event: AuditEvent) => void) | undefined;
  #disposed = false;
  /** What is to be done when it has ended. */
  readonly #endings: (() => void)[] = [];

  /** Made by `Capfs.spawn`. */
  constructor(
    readonly id: number,
    private readonly owner: AgentOwner,
    private readonly worker: PooledWorker,
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
        (count) => this.worker.send({ type: 'output-read', id, stream, count }),
        () => this.worker.send({ type: 'output-closed', id, stream }),
      );
    this.#outputs = [output(1), output(2)];
    [this.stdout, this.stderr] = [this.#outputs[0].readable, this.#outputs[1].readable];
    this.#input = new InputStream(
      (bytes) => this.worker.send({ type: 'input', id, console: false, bytes }),
      () => this.worker.send({ type: 'input-end', id, console: false }),
    );
    this.#console = new ConsoleEnd(
      options.console ?? {},
      `${options.name ?? 'agent'} ${id}`,
      (bytes) => this.worker.send({ type: 'input', id, console: true, bytes }),
      () => this.worker.send({ type: 'input-end', id, console: true }),
    );
    this.stdin = this.#input.writable;
    if (options.limits?.time !== undefined) this.#timer = setTimeout(() => this.#end('timeout'), options.limits.time);
    this.#audit = options.audit;
    const { signal } = options;
    if (signal) {
      const abort = () => void this.kill();
      signal.addEventListener('abort', abort, { once: true });
      this.#removeSignal = () => signal.removeEventListener('abort', abort);
    }
  }

  /** Writes to standard input; resolves when it is on its way. */
  write(data: string | Uint8Array): Promise<void> {
    return this.#input.write(data);
  }

  /** Ends standard input: the agent reads its end. */
  closeStdin(): Promise<void> {
    return this.#input.close();
  }

  /**
   * Types into the terminal of the agent's console.
   *
   * @throws CapfsError `CLOSED` where its console has no terminal of its own (`console.write`), or the agent has ended
   */
  async type(data: string | Uint8Array): Promise<void> {
    if (!this.#console.keyboard) throw new CapfsError('CLOSED', 'the console is on the standard streams: write to those');
    await this.#console.keyboard.write(data);
  }

  /** Tells the agent that its console has another size. */
  resize(columns: number, rows: number): void {
    this.worker.send({ type: 'resize', id: this.id, columns, rows });
  }

  /** Ends the agent, whatever it does. */
  kill(): Promise<Exit> {
    this.#end('killed');
    return this.exit;
  }

  /**
   * Takes the capability at `at` away, for good: whatever is open there fails with `ENODEV` from now on. Whether there
   * was one.
   */
  async revoke(at: string): Promise<boolean> {
    return this.#exit ? false : ((await this.worker.ask({ type: 'revoke', id: this.id, at })) as boolean);
  }

  /** What the agent uses, or has used. */
  async usage(): Promise<Usage> {
    return this.#exit?.usage ?? ((await this.worker.ask({ type: 'usage', id: this.id })) as Usage);
  }

  /** Kills the agent if it runs, and lets go of its files. */
  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    await this.kill();
    this.worker.forget(this.id);
    this.owner.home.forget(this.id);
    this.owner.devices()?.forget(this.id);
    this.owner.disposed(this);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  protected async request(what: FileRequest, path: string, bytes?: Uint8Array, { maxBytes, signal }: ReadOptions = {}): Promise<unknown> {
    if (this.#disposed) throw new CapfsError('CLOSED', 'the agent was disposed of');
    try {
      const asked = { type: 'request', id: this.id, what, path, ...(maxBytes === undefined ? {} : { max: maxBytes }), ...(bytes ? { bytes } : {}) } as const;
      return await this.worker.ask(asked, signal);
    } catch (error) {
      throw error instanceof CapfsError ? error : kernelError(error, `${what} ${path}`);
    }
  }

  /** Does something when the agent has ended; at once, if it has. Not for users. */
  atEnd(action: () => void): void {
    if (this.#exit) action();
    else this.#endings.push(action);
  }

  /** Has its kernel take a request of its task's kernel; not for users. */
  serve(client: number, bytes: Uint8Array): void {
    if (this.#exit) this.owner.agent(client)?.parentLost();
    else this.worker.send({ type: 'serve', id: this.id, client, bytes });
  }

  /** Has its kernel make less of a capability; not for users. */
  async narrow(wanted: NarrowRequest): Promise<Narrowing> {
    if (this.#exit) return ['refused', 'EIO', 'the parent has ended'];
    return (await this.worker.ask({ type: 'narrow', id: this.id, ...wanted })) as Narrowing;
  }

  /** Has its kernel hand a tree that another one made for it on to a task's; not for users. */
  async adopt(client: number, of: number, at: string, peer: Peer, tree: [number: number, kind: number]): Promise<RemoteTree> {
    if (this.#exit) throw new CapfsError('EIO', 'the parent has ended');
    try {
      return (await this.worker.ask({ type: 'adopt', id: this.id, client, of, at, peer, tree })) as RemoteTree;
    } catch (error) {
      throw error instanceof CapfsError ? error : kernelError(error, 'handing a capability on');
    }
  }

  /** The agent whose task it is has ended; not for users. */
  parentLost(): void {
    this.worker.send({ type: 'remote-lost', id: this.id, peer: Peer.Parent });
  }

  /** The device worker has answered; not for users. */
  answered(bytes: Uint8Array): void {
    this.worker.send({ type: 'remote', id: this.id, peer: Peer.Devices, bytes });
  }

  /** The agent whose task it is has answered; not for users. */
  parentAnswered(bytes: Uint8Array): void {
    this.worker.send({ type: 'remote', id: this.id, peer: Peer.Parent, bytes });
  }

  /** The device worker is gone; not for users. */
  devicesLost(): void {
    this.worker.send({ type: 'remote-lost', id: this.id, peer: Peer.Devices });
  }

  /** What the worker reports; not for users. */
  receive(report: Extract<Report, { id: number }>): void {
    switch (report.type) {
      case 'started':
        Object.assign(this.timings, report.timings);
        break;
      case 'output':
        this.timings.firstByte ??= performance.now() - this.begun;
        if (report.stream > 2) {
          this.#console.take(report.stream, report.bytes);
          this.worker.send({ type: 'output-read', id: this.id, stream: report.stream, count: report.bytes.length });
        } else this.#outputs[report.stream === 2 ? 1 : 0].add(report.bytes);
        break;
      case 'input-taken':
        (report.console ? this.#console.keyboard : this.#input)?.taken(report.count);
        break;
      case 'console-raw':
        this.#console.raw(report.on);
        break;
      case 'served':
        this.owner.agent(report.client)?.parentAnswered(report.bytes);
        break;
      case 'granted':
        this.#granted(report.error);
        break;
      case 'audit':
        for (const line of report.lines) this.#audit?.(JSON.parse(line) as AuditEvent);
        break;
      case 'remote':
        if (report.peer === Peer.Parent) this.parent?.serve(this.id, report.bytes);
        else if (report.peer === Peer.Devices) this.owner.devices()?.request(this.id, report.bytes);
        else this.owner.home.serve(this.id, report.bytes, this.#reply);
        break;
      case 'exit':
        this.#finish(report.exit, report.exit.reason !== 'host');
    }
  }

  /** The worker is gone; not for users. */
  lost(message: string): void {
    this.#finish({ code: HOST_FAILED, reason: 'host', message, usage: noUsage() }, false);
  }

  #end(reason: EndReason): void {
    if (this.#exit || this.#grace !== undefined) return;
    this.worker.send({ type: 'kill', id: this.id, reason });
    this.#grace = setTimeout(() => {
      const message = 'the agent made no system call, so its worker was ended';
      this.#finish({ code: ENDINGS[reason], reason, message, usage: noUsage() }, false);
    }, KILL_GRACE);
  }

  #finish(end: Omit<Exit, 'timings'>, reusable: boolean): void {
    if (this.#exit) return;
    this.timings.total = performance.now() - this.begun;
    this.#exit = { ...end, timings: this.timings };
    this.#granted(undefined);
    clearTimeout(this.#timer);
    clearTimeout(this.#grace);
    this.#removeSignal?.();
    this.#input.end();
    for (const output of this.#outputs) output.end();
    this.#console.end();
    for (const action of this.#endings.splice(0)) action();
    this.owner.ended(this, this.worker, reusable);
    this.#resolveExit(this.#exit);
  }
}

function noUsage(): Usage {
  return { memory: 0, calls: 0, bytesRead: 0, bytesWritten: 0, filesPeak: 0, held: heldOf([]), heldPeak: 0 };
}
