/** The workers: one agent at a time in each, and spares that wait for the next. */
import { unlessAborted } from '../both/abort.js';
import { CapfsError, kernelError, messageOf } from '../both/errors.js';
import { MailboxWriter, createMailbox } from '../both/mailbox.js';
import { DISPOSED, type Assets, type Command, type KernelModules, type Mail, type Report } from '../both/protocol.js';
import type { Variant } from '../both/types.js';
import { cancellable } from './cancel.js';
import { startWorker, type WorkerHandle } from './platform.js';

/**
 * Linear memories that all workers of a pool may have at once. Chromium 156 has room for 124 in a page, whatever their size, as each reserves 8 GiB of the
 * 1 TiB of addresses that there is for them. The rest is for the page's own tree, the device worker and whatever else the page runs.
 */
const MEMORIES_MAX = 100;
/** Linear memories that one worker may have before it is ended, or kept for files alone: those of a dozen agents. */
const WORN = 24;

/** Takes a worker's reports about one agent. */
export interface ReportReceiver {
  receive(report: Extract<Report, { id: number }>): void;
  /** The worker is gone and nothing more comes from it. */
  lost(message: string): void;
}

/** Mail that is answered. */
type Question = { [T in Extract<Mail, { request: number }>['type']]: Omit<Extract<Mail, { type: T }>, 'request'> }[Extract<Mail, { request: number }>['type']];

/** The mail with bytes that fill their buffer, copied if they are a view of a larger one: a message would copy all of that. */
function cut(mail: Mail): Mail {
  if (!('bytes' in mail) || !mail.bytes || mail.bytes.byteLength === mail.bytes.buffer.byteLength) return mail;
  return { ...mail, bytes: mail.bytes.slice() };
}

/** A question in words, for error messages. */
function questionOf(mail: Question): string {
  switch (mail.type) {
    case 'request':
      return `${mail.what} ${mail.path}`;
    case 'adopt':
      return 'handing a capability on';
    case 'revoke':
      return `revoke ${mail.at}`;
    default:
      return mail.type;
  }
}

/** What a worker tells its pool. */
interface WorkerOwner {
  /** The worker can't be used any more. */
  gone(worker: PooledWorker): void;
  /** The worker holds the files of one agent fewer. */
  lighter(worker: PooledWorker): void;
}

export class PooledWorker {
  readonly #handle: WorkerHandle;
  readonly #mailbox: MailboxWriter | undefined;
  readonly #agents = new Map<number, ReportReceiver>();
  readonly #answers = new Map<number, { id: number; resolve: (value: unknown) => void; reject: (error: CapfsError) => void; what: string }>();
  #nextRequest = 1;
  #holds = 0;
  #gone: string | undefined;
  /** Linear memories that it may have: a kernel's and the agents'. Unused ones count, as nothing says when the engine collects them. */
  #memories = 1;
  /** Resolves when the worker's first kernel is instantiated. */
  readonly ready: Promise<void>;
  #ready!: () => void;
  #failed!: (error: CapfsError) => void;

  /**
   * Starts the worker at once; it is prepared when the modules are there.
   *
   * @throws CapfsError `VARIANT_UNAVAILABLE` where no worker can be started
   */
  constructor(
    modules: Promise<KernelModules>,
    variant: Variant,
    { full, assets }: Assets,
    private readonly owner: WorkerOwner,
  ) {
    // Before the worker, so that nothing is started where there is no memory for it.
    const mailbox = variant.wait === 'sab' ? { mailbox: createMailbox() } : {};
    this.#handle = startWorker(full, assets);
    this.ready = new Promise((resolve, reject) => {
      this.#ready = resolve;
      this.#failed = reject;
    });
    // Those who wait for it see the error; for a spare that nobody waits for it must not be an unhandled rejection.
    this.ready.catch(() => undefined);
    this.#handle.listen(
      (report) => this.#receive(report as Report),
      (error) => this.end(`the worker failed: ${error.message}`, error instanceof CapfsError ? error : undefined),
    );
    if (mailbox.mailbox) this.#mailbox = new MailboxWriter(mailbox.mailbox, () => this.#handle.post({ type: 'mail' }));
    modules.then(
      (modules) => {
        if (this.#gone === undefined) this.#handle.post({ type: 'prepare', modules, variant, ...mailbox });
      },
      (error: unknown) => this.end(messageOf(error)),
    );
  }

  /** Agents, running or ended, whose files are in this worker. */
  get held(): number {
    return this.#agents.size;
  }

  /** Linear memories that it may have. */
  get memories(): number {
    return this.#memories;
  }

  /**
   * Sends the worker's reports about this agent, and its loss, to the receiver.
   *
   * @throws CapfsError `HOST` where it has ended already
   */
  adopt(id: number, receiver: ReportReceiver): void {
    if (this.#gone !== undefined) throw new CapfsError('HOST', this.#gone);
    this.#agents.set(id, receiver);
  }

  /**
   * Starts an agent that was adopted; the buffers of `transfer` are moved to the worker.
   *
   * @throws CapfsError `OPTION_INVALID` where something of it can't be handed to a worker
   */
  spawn(command: Extract<Command, { type: 'spawn' }>, transfer: ArrayBuffer[]): void {
    try {
      this.#handle.post(command, transfer);
    } catch (error) {
      throw new CapfsError('OPTION_INVALID', `what the agent is given can't be handed to its worker: ${messageOf(error)}`, { cause: error });
    }
    this.#memories += 1;
  }

  send(mail: Mail): void {
    if (this.#gone !== undefined) return;
    if (this.#mailbox) this.#mailbox.send(mail);
    else this.#handle.post(cut(mail));
  }

  /**
   * Sends a request and awaits its answer.
   *
   * @throws CapfsError what the kernel said; `CLOSED`; what the signal was aborted for
   */
  ask(mail: Question, signal?: AbortSignal): Promise<unknown> {
    if (this.#gone !== undefined) return Promise.reject(new CapfsError('CLOSED', this.#gone));
    const request = this.#nextRequest++;
    const what = questionOf(mail);
    try {
      this.send({ ...mail, request } as Mail);
    } catch (error) {
      // The message can't be copied, for lack of memory for example. Then there will be no answer.
      return Promise.reject(new CapfsError('HOST', `${what}: it can't be handed to the agent's worker: ${messageOf(error)}`, { cause: error }));
    }
    const answered = new Promise((resolve, reject) => this.#answers.set(request, { id: mail.id, resolve, reject, what }));
    this.hold(1);
    return cancellable(answered, signal, 'the question', () => this.send({ type: 'cancel', id: mail.id, of: request }));
  }

  /** Releases an agent's files. Outstanding questions about it are rejected: they may wait for something that never comes. */
  forget(id: number): void {
    if (!this.#agents.delete(id)) return;
    this.send({ type: 'dispose', id });
    for (const [request, waiting] of this.#answers) if (waiting.id === id) this.#answered(request)?.reject(new CapfsError('CLOSED', DISPOSED));
    this.owner.lighter(this);
  }

  /** Counts what keeps Node's process running: a holder of the worker, and outstanding questions. */
  hold(change: 1 | -1): void {
    this.#holds += change;
    if (this.#holds > 0) this.#handle.hold?.();
    else this.#handle.release?.();
  }

  /** Ends the worker, whatever it does. */
  end(message: string, cause?: CapfsError): void {
    if (this.#gone !== undefined) return;
    this.#gone = message;
    this.#handle.terminate();
    this.#failed(cause ?? new CapfsError('HOST', message));
    for (const { reject } of this.#answers.values()) reject(new CapfsError('CLOSED', message));
    this.#answers.clear();
    for (const agent of [...this.#agents.values()]) agent.lost(message);
    this.owner.gone(this);
  }

  /** Takes a question from the outstanding ones; undefined if it has its answer already. */
  #answered(request: number): { resolve: (value: unknown) => void; reject: (error: CapfsError) => void; what: string } | undefined {
    const waiting = this.#answers.get(request);
    if (this.#answers.delete(request)) this.hold(-1);
    return waiting;
  }

  #receive(report: Report): void {
    if (this.#gone !== undefined) return;
    switch (report.type) {
      case 'ready':
        return this.#ready();
      case 'failed':
        return this.end(`the worker failed: ${report.message}`);
      case 'room':
        return this.#mailbox?.pump();
      case 'answer': {
        const waiting = this.#answered(report.request);
        if (report.error === DISPOSED) waiting?.reject(new CapfsError('CLOSED', DISPOSED));
        else if (report.error !== undefined) waiting?.reject(kernelError(report.error, waiting.what));
        else waiting?.resolve(report.value);
        return;
      }
      default:
        // The kernel of the next agent.
        if (report.type === 'exit') this.#memories += 1;
        this.#agents.get(report.id)?.receive(report);
    }
  }
}

/** A start that waits for a worker. */
interface Waiter {
  resolve(worker: PooledWorker): void;
  reject(error: unknown): void;
}

export class WorkerPool implements WorkerOwner {
  readonly #all = new Set<PooledWorker>();
  /** Idle workers, the one that was used last at the end. */
  #idle: PooledWorker[] = [];
  /** Workers that run no agents any more, and only hold the files of ended ones. */
  readonly #retired = new Set<PooledWorker>();
  readonly #queue: Waiter[] = [];
  #serving = false;
  #closed = false;

  constructor(
    private readonly modules: Promise<KernelModules>,
    private readonly variant: Variant,
    private readonly spares: number,
    private readonly assets: Assets,
    private readonly max: number,
    /** Releases the files of the agent that ended first, of those in workers that `of` accepts. Returns whether there was one. */
    private readonly evict: (of: (worker: PooledWorker) => boolean) => boolean,
  ) {
    try {
      this.#refill();
    } catch (error) {
      this.close(new Set());
      throw error;
    }
  }

  /**
   * Resolves to an idle worker, preferably one without files of ended agents, or to a new one when it is ready. Where there are as many as there may be, waits
   * for one, or rejects where `mayWait` is false.
   *
   * @throws CapfsError `CLOSED`; `EAGAIN`, where it may not wait; `HOST`, where the worker fails at its start; what the signal was aborted for
   */
  async take(signal: AbortSignal, mayWait: boolean): Promise<PooledWorker> {
    if (this.#closed) throw new CapfsError('CLOSED', 'this Capfs has been closed');
    let worker = this.#queue.length > 0 ? undefined : this.#next();
    if (!worker) {
      if (!mayWait) throw new CapfsError('EAGAIN', `${this.max} workers run agents, and more are not allowed (maxWorkers)`);
      worker = await this.#wait(signal);
    }
    this.#refillLater();
    try {
      await unlessAborted(worker.ready, signal, 'the start of the agent');
    } catch (error) {
      this.giveBack(worker);
      throw error;
    }
    return worker;
  }

  /** Takes a worker back whose agent has ended cleanly, or has not begun. */
  giveBack(worker: PooledWorker): void {
    if (!this.#all.has(worker)) return;
    worker.hold(-1);
    if (this.#closed) return worker.end('this Capfs has been closed');
    const clean = this.#idle.filter(({ held }) => held === 0).length;
    const worn = worker.memories > WORN;
    if (worker.held === 0 && (worn || clean > this.spares)) return worker.end('the worker was not needed any more');
    if (worn) this.#retired.add(worker);
    else this.#idle.push(worker);
    this.#serve();
  }

  /** Ends all workers; those in `heard`, whose agents' audits are still to be told, when they are given back. */
  close(heard: ReadonlySet<PooledWorker>): void {
    this.#closed = true;
    for (const { reject } of this.#queue.splice(0)) reject(new CapfsError('CLOSED', 'this Capfs has been closed'));
    for (const worker of [...this.#all]) if (!heard.has(worker)) worker.end('this Capfs has been closed');
  }

  gone(worker: PooledWorker): void {
    this.#all.delete(worker);
    this.#retired.delete(worker);
    this.#idle = this.#idle.filter((idle) => idle !== worker);
    this.#serve();
  }

  lighter(worker: PooledWorker): void {
    if (worker.held > 0) return;
    const clean = this.#idle.filter(({ held }) => held === 0).length;
    const surplus = this.#idle.includes(worker) && clean > this.spares + 1;
    if (surplus || this.#retired.has(worker)) worker.end('the worker was not needed any more');
  }

  get #memories(): number {
    return [...this.#all].reduce((total, { memories }) => total + memories, 0);
  }

  /** A worker for one more agent, if there may be one more. */
  #next(): PooledWorker | undefined {
    this.#makeRoom();
    const at = this.#idle.reduce((best, { held }, index) => (best >= 0 && this.#idle[best]!.held < held ? best : index), -1);
    if (at >= 0) return this.#held(this.#idle.splice(at, 1)[0]!);
    // A place for an agent is worth more than the files of ended ones.
    while (this.#all.size >= this.max && this.evict((worker) => this.#retired.has(worker)));
    return this.#all.size < this.max ? this.#held(this.#start()) : undefined;
  }

  /** Marks a worker as in use, which keeps Node's process running, until it is given back. */
  #held(worker: PooledWorker): PooledWorker {
    worker.hold(1);
    return worker;
  }

  /** Ends workers that run no agent, until the engine has memories for one more agent or there are no more such workers. */
  #makeRoom(): void {
    while (this.#memories + 1 > MEMORIES_MAX) {
      const worn = this.#idle.filter(({ held, memories }) => held === 0 && memories > 1);
      const most = worn.sort((a, b) => a.memories - b.memories).pop();
      if (most) most.end('the engine has no room for more memories');
      else if (!this.evict((worker) => this.#idle.includes(worker) || this.#retired.has(worker))) return;
    }
  }

  #wait(signal: AbortSignal): Promise<PooledWorker> {
    let waiter: Waiter;
    const worker = new Promise<PooledWorker>((resolve, reject) => this.#queue.push((waiter = { resolve, reject })));
    const given = unlessAborted(worker, signal, 'the start of the agent');
    given.catch(() => {
      const queued = this.#queue.indexOf(waiter);
      if (queued >= 0) this.#queue.splice(queued, 1);
      // It was given one just then.
      else worker.then((late) => this.giveBack(late), () => undefined);
    });
    return given;
  }

  /** Gives workers to starts that wait. */
  #serve(): void {
    // To find one, others may be ended, of which it hears here.
    if (this.#serving) return;
    this.#serving = true;
    while (!this.#closed && this.#queue.length > 0) {
      let worker: PooledWorker | undefined;
      try {
        worker = this.#next();
      } catch (error) {
        this.#queue.shift()!.reject(error);
        continue;
      }
      if (!worker) break;
      this.#queue.shift()!.resolve(worker);
    }
    this.#serving = false;
  }

  #refill(): void {
    while (!this.#closed && this.#idle.length < this.spares && this.#all.size < this.max) this.#idle.push(this.#start());
  }

  /** Starts the next spare, after the agent that took the last one, so as not to delay it. */
  #refillLater(): void {
    setTimeout(() => {
      try {
        this.#refill();
      } catch {
        // The system has no thread or no memory for one now. Nobody waits for it: the start that does tries again, and tells why there is none.
      }
    }, 0);
  }

  #start(): PooledWorker {
    const worker = new PooledWorker(this.modules, this.variant, this.assets, this);
    this.#all.add(worker);
    return worker;
  }
}
