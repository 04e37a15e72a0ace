/** What every worker does, in a browser or in Node: prepares kernels, runs one agent at a time, answers requests about ended ones. */
import { messageOf } from '../both/errors.js';
import { loadBindings, type BindingsFactory } from '../both/kernels.js';
import { MailboxReader } from '../both/mailbox.js';
import {
  DISPOSED, type Command, type DeviceCommand, type DeviceReport, type KernelModules, type Mail, type MailNotice, type Port, type Report, type Sender,
} from '../both/protocol.js';
import type { Variant } from '../both/types.js';
import { AgentRun } from './agent-run.js';
import { DeviceServer } from './device-server.js';
import { KernelInstance } from './kernel-instance.js';
import { whenThereIsRoom } from './room.js';
import { BlockingWait, ClockWait, SuspendingWait, type Waiting } from './waiting.js';

type Message = Command | DeviceCommand | Mail | MailNotice;

/**
 * Serves the page at the other end of the port: as a worker for agents or as a device worker, whichever the first message says. Returns a function that
 * reports an error that nothing else would report.
 */
export function serve(port: Port<Message, Report | DeviceReport>): (error: unknown) => void {
  let worker: AgentWorker | undefined;
  let devices: DeviceServer | undefined;
  /** Messages that arrive while the kernel's JavaScript is being loaded. */
  let early: Message[] | undefined;
  let type: 'failed' | 'device-failed' = 'failed';
  const fail = (message: string) => port.post({ type, message });
  const prepare = async (message: Extract<Message, { type: 'prepare' | 'prepare-devices' }>) => {
    early = [];
    if (message.type === 'prepare-devices') type = 'device-failed';
    try {
      await load(message);
    } catch (error) {
      // The kernel's JavaScript doesn't load, or there is no memory for a kernel. Later messages get no answer: the page ends the worker.
      return fail(`its kernel can't be started: ${messageOf(error)}`);
    }
    const waiting = early;
    early = undefined;
    waiting.forEach(receive);
  };
  const load = async (message: Extract<Message, { type: 'prepare' | 'prepare-devices' }>) => {
    if (message.type === 'prepare-devices') devices = new DeviceServer(port, message.kernel, await loadBindings(true));
    else {
      const bindings = await loadBindings(message.modules.full);
      const first = await whenThereIsRoom(() => new KernelInstance(message.modules.kernel, bindings));
      worker = new AgentWorker(port, message.modules, bindings, message.variant, message.mailbox, first);
    }
  };
  const receive = (message: Message) => {
    if (early) early.push(message);
    else if (message.type === 'prepare' || message.type === 'prepare-devices') void prepare(message);
    else if (isForDevices(message)) devices?.receive(message);
    else worker?.receive(message);
  };
  port.listen(receive);
  return (error) => fail(messageOf(error));
}

/** The types of all messages for a prepared device worker begin with `device-`, and no others do. */
function isForDevices(message: { type: string }): message is Exclude<DeviceCommand, { type: 'prepare-devices' }> {
  return message.type.startsWith('device-');
}

class AgentWorker {
  readonly #runs = new Map<number, AgentRun>();
  readonly #mailbox: MailboxReader | undefined;
  readonly #waiting: Waiting;
  /** A kernel for the next agent, made ahead of time. */
  #next: KernelInstance | undefined;
  /** The number of the last agent that was started; numbers grow. */
  #latest = 0;
  /** Mail for an agent whose `spawn` message is still on its way: the mailbox may be read before that arrives. */
  #early: Mail[] = [];

  constructor(
    private readonly port: Sender<Report>,
    private readonly modules: KernelModules,
    private readonly bindings: BindingsFactory,
    private readonly variant: Variant,
    mailbox: SharedArrayBuffer | undefined,
    first: KernelInstance,
  ) {
    if (mailbox) this.#mailbox = new MailboxReader(mailbox, () => port.post({ type: 'room' }));
    this.#waiting = this.#makeWaiting();
    this.#next = first;
    port.post({ type: 'ready' });
  }

  #makeWaiting(): Waiting {
    switch (this.variant.wait) {
      case 'jspi':
        return new SuspendingWait();
      case 'sab':
        return new BlockingWait(this.#mailbox!, () => this.#takeMail());
      case 'none':
        return new ClockWait();
    }
  }

  receive(message: Exclude<Command, { type: 'prepare' }> | Mail | MailNotice): void {
    if (message.type === 'spawn') this.#spawn(message).catch((error: unknown) => this.port.post({ type: 'failed', message: messageOf(error) }));
    else if (message.type === 'mail') this.#takeMail();
    else this.#take(message);
  }

  async #spawn({ id, module, config }: Extract<Command, { type: 'spawn' }>): Promise<void> {
    let kernel: KernelInstance;
    try {
      kernel = this.#next ?? (await whenThereIsRoom(() => new KernelInstance(this.modules.kernel, this.bindings)));
    } catch (error) {
      return this.port.post({ type: 'failed', message: `there is no room for another kernel: ${messageOf(error)}` });
    }
    this.#next = undefined;
    this.#latest = id;
    const poll = this.#mailbox ? () => this.#takeMail() : undefined;
    const run = new AgentRun(id, kernel, config, this.port, this.variant, this.#waiting, poll);
    this.#runs.set(id, run);
    const reusable = await run.run(module, this.modules, () => {
      // Mail that was sent right after the start is taken first: small inputs then need no wait at all.
      this.#mailbox?.setRunning(true);
      this.#takeMail();
      for (const mail of run.stand()) this.#take(mail);
    });
    this.#mailbox?.setRunning(false);
    this.#takeMail();
    for (const mail of run.stand()) this.#take(mail);
    if (!reusable) return;
    try {
      this.#next = new KernelInstance(this.modules.kernel, this.bindings);
    } catch {
      // No room now. The next agent's start tries again, and reports it if there still is none.
    }
  }

  #takeMail(): void {
    if (this.#early.length > 0) for (const mail of this.#early.splice(0)) this.#take(mail);
    if (!this.#mailbox?.hasMail) return;
    for (const mail of this.#mailbox.read()) this.#take(mail);
  }

  #take(mail: Mail): void {
    const run = this.#runs.get(mail.id);
    if (!run) {
      if (mail.id > this.#latest) this.#early.push(mail);
      else if ('request' in mail) {
        this.port.post({ type: 'answer', request: mail.request, error: DISPOSED });
      }
      return;
    }
    if (run.defers(mail)) return;
    try {
      this.#deliver(run, mail);
    } catch (error) {
      const message = run.trapped(error);
      if ('request' in mail) this.port.post({ type: 'answer', request: mail.request, error: message });
    }
  }

  #deliver(run: AgentRun, mail: Mail): void {
    const kernel = run.kernel.bindings;
    switch (mail.type) {
      case 'input':
        kernel.feed(mail.console, mail.bytes);
        break;
      case 'input-end':
        if (mail.failed) kernel.fail_input(mail.console);
        else kernel.end_input(mail.console);
        break;
      case 'resize':
        kernel.resize(mail.columns, mail.rows);
        break;
      case 'output-read':
        kernel.output_read(mail.stream, mail.count);
        break;
      case 'output-closed':
        kernel.output_closed(mail.stream);
        break;
      case 'told':
        run.told(mail.weight);
        this.#waiting.wake();
        return;
      case 'raw-taken':
        run.rawTaken();
        return;
      case 'kill':
        run.kill(mail.reason);
        break;
      case 'request':
        run.kernel.request(mail.request, mail.what, mail.path, mail.bytes, mail.max, (error, value) => {
          this.port.post({ type: 'answer', request: mail.request, value, ...(error === null ? {} : { error }) });
        });
        break;
      case 'cancel':
        if (kernel.cancel(mail.of)) this.port.post({ type: 'answer', request: mail.of, error: 'ECANCELED' });
        break;
      case 'usage':
        this.port.post({ type: 'answer', request: mail.request, value: run.usage() });
        break;
      case 'revoke':
        this.port.post({ type: 'answer', request: mail.request, value: run.revoke(mail.at) });
        break;
      case 'narrow': {
        const value = kernel.narrow(mail);
        this.port.post({ type: 'answer', request: mail.request, value });
        break;
      }
      case 'adopt':
        this.port.post({ type: 'answer', request: mail.request, ...run.adopt(mail) });
        break;
      case 'remote':
        kernel.remote_answer(mail.peer, mail.bytes);
        break;
      case 'admit':
        kernel.remote_admit(mail.client, 0);
        break;
      case 'serve':
        kernel.remote_serve(mail.client, mail.bytes, (bytes: Uint8Array) => {
          this.port.post({ type: 'served', id: mail.id, client: mail.client, bytes }, [bytes.buffer as ArrayBuffer]);
        });
        break;
      case 'remote-lost':
        kernel.remote_lost(mail.peer);
        break;
      case 'forget':
        kernel.remote_forget(mail.client);
        break;
      case 'dispose':
        this.#runs.delete(mail.id);
        return;
    }
    kernel.advance();
    this.#waiting.wake();
  }
}
