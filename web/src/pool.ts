/** The workers: one agent at a time in each, and spares that wait for the next. */
import { cancellable } from './cancel.js';
import { CapfsError } from './errors.js';
import { MailboxWriter, createMailbox } from './mailbox.js';
import { platform, type WorkerHandle } from './platform.js';
import type { Assets, Command, KernelModules, Mail, Report } from './protocol.js';
import type { Variant } from './types.js';

/** What an agent does with its worker's reports. */
export interface ReportReceiver {
  receive(report: Extract<Report, { id: number }>): void;
  /** The worker is gone and nothing more comes from it. */
  lost(message: string): void;
}

/** Mail that is answered. */
type Question = { [T in Extract<Mail, { request: number }>['type']]: Omit<Extract<Mail, { type: T }>, 'request'> }[Extract<Mail, { request: number }>['type']];

export class PooledWorker {
  readonly #handle: WorkerHandle;
  readonly #mailbox: MailboxWriter | undefined;
  readonly #agents = new Map<number, ReportReceiver>();
  readonly #answers = new Map<number, { resolve: (value: unknown) => void; reject: (error: unknown) => void }>();
  #nextRequest = 1;
  #holds = 0;
  #gone: string | undefined;
  /** Resolves when the worker's first kernel is instantiated. */
  readonly ready: Promise<void>;
  #ready!: () => void;
  #failed!: (error: CapfsError) => void;

  /** Starts the worker at once; it is prepared when the modules are there. */
  constructor(
    modules: Promise<KernelModules>,
    variant: Variant,
    { full, assets }: Assets,
    private readonly onGone: (worker: PooledWorker) => void,
  ) {
    this.#handle = platform().startWorker(full, assets);
    this.ready = new Promise((resolve, reject) => {
      this.#ready = resolve;
      this.#failed = reject;
    });
    // Whoever waits for it sees the error; a spare that nobody waits for must not be unhandled.
    this.ready.catch(() => undefined);
    this.#handle.listen(
      (report) => this.#receive(report as Report),
      (error) => this.end(`the worker failed: ${error.message}`, error instanceof CapfsError ? error : undefined),
    );
    let mailbox: { mailbox?: SharedArrayBuffer } = {};
    if (variant.wait === 'sab') {
      mailbox = { mailbox: createMailbox() };
      this.#mailbox = new MailboxWriter(mailbox.mailbox!, () => this.#handle.post({ type: 'mail' }));
    }
    modules.then(
      (modules) => {
        if (this.#gone === undefined) this.#handle.post({ type: 'prepare', modules, variant, ...mailbox });
      },
      // Who loads them hears of it, and closes the pool.
      () => undefined,
    );
  }

  /** Agents, running or ended, whose files are in this worker. */
  get held(): number {
    return this.#agents.size;
  }

  spawn(command: Extract<Command, { type: 'spawn' }>, receiver: ReportReceiver): void {
    this.#agents.set(command.id, receiver);
    this.#hold(1);
    this.#handle.post(command);
  }

  send(mail: Mail): void {
    if (this.#gone !== undefined) return;
    if (this.#mailbox) this.#mailbox.send(mail);
    else this.#handle.post(mail);
  }

  /** Sends a request and awaits its answer; rejects with the signal's reason where that gives it up. */
  ask(mail: Question, signal?: AbortSignal): Promise<unknown> {
    if (this.#gone !== undefined) return Promise.reject(new CapfsError('CLOSED', this.#gone));
    const request = this.#nextRequest++;
    const answered = new Promise((resolve, reject) => {
      this.#answers.set(request, { resolve, reject });
      this.#hold(1);
      this.send({ ...mail, request } as Mail);
    });
    return cancellable(answered, signal, 'the question', () => this.send({ type: 'cancel', id: mail.id, of: request }));
  }

  /** Lets go of an ended agent's files. */
  forget(id: number): void {
    if (!this.#agents.delete(id)) return;
    this.send({ type: 'dispose', id });
  }

  /** Counts what keeps the process running: agents and questions. */
  #hold(change: 1 | -1): void {
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
    for (const agent of this.#agents.values()) agent.lost(message);
    this.onGone(this);
  }

  #receive(report: Report): void {
    switch (report.type) {
      case 'ready':
        return this.#ready();
      case 'room':
        return this.#mailbox?.pump();
      case 'answer': {
        const waiting = this.#answers.get(report.request);
        this.#answers.delete(report.request);
        this.#hold(-1);
        if (report.error !== undefined) waiting?.reject(report.error);
        else waiting?.resolve(report.value);
        return;
      }
      default:
        if (report.type === 'exit') this.#hold(-1);
        this.#agents.get(report.id)?.receive(report);
    }
  }
}

export class WorkerPool {
  #idle: PooledWorker[] = [];
  readonly #all = new Set<PooledWorker>();
  #closed = false;

  constructor(
    private readonly modules: Promise<KernelModules>,
    private readonly variant: Variant,
    private readonly spares: number,
    private readonly assets: Assets,
  ) {
    this.#refill();
  }

  /** Takes an idle worker, rather one without an ended agent's files, or starts one. */
  take(): PooledWorker {
    if (this.#closed) throw new CapfsError('CLOSED', 'this Capfs has been closed');
    const worker = this.#idle.sort((a, b) => b.held - a.held).pop() ?? this.#start();
    // The next spare is started when this agent has been, not before it.
    setTimeout(() => this.#refill(), 0);
    return worker;
  }

  /** Takes a worker back whose agent has ended cleanly. */
  giveBack(worker: PooledWorker): void {
    if (!this.#all.has(worker)) return;
    const enough = this.#idle.filter(({ held }) => held === 0).length > this.spares;
    if (enough && worker.held === 0) worker.end('the worker was not needed any more');
    else this.#idle.push(worker);
  }

  close(): void {
    this.#closed = true;
    for (const worker of [...this.#all]) worker.end('this Capfs has been closed');
  }

  #refill(): void {
    while (!this.#closed && this.#idle.length < this.spares) this.#idle.push(this.#start());
  }

  #start(): PooledWorker {
    const worker = new PooledWorker(this.modules, this.variant, this.assets, (gone) => {
      this.#all.delete(gone);
      this.#idle = this.#idle.filter((idle) => idle !== gone);
    });
    this.#all.add(worker);
    return worker;
  }
}
