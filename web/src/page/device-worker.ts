/**
 * The page's half of a device worker. Where an agent's worker blocks while the agent waits, its event loop doesn't run, and
 * the asynchronous interfaces of the platform never answer there: capabilities that need them are made in a worker of their
 * own, and the agent's kernel reaches them by messages.
 */
import { CapfsError } from '../both/errors.js';
import { DEVICE_WINDOW, type DeviceReport, type Narrowing, type NarrowRequest, type Peer, type RemoteTree } from '../both/protocol.js';
import { startWorker, type WorkerHandle } from './platform.js';

/** An agent that has capabilities in the device worker. */
export interface DeviceClient {
  /** An answer to one of its requests has arrived. */
  answered(devices: Peer, bytes: Uint8Array): void;
  /** Takes a line of the audit, and calls `told` when the page's function has been called for it. Lines may still come after the client was forgotten. */
  audited(line: string, told: () => void): void;
  /** The worker is gone. */
  devicesLost(devices: Peer): void;
}

/** The requests of a client: how many are under way, and those that wait. `settle` among them asks for a report when the requests before it are done. */
interface Requests {
  underWay: number;
  readonly waiting: (Uint8Array | 'settle')[];
}

export class DeviceWorker {
  readonly #handle: WorkerHandle;
  readonly #clients = new Map<number, DeviceClient>();
  readonly #requests = new Map<number, Requests>();
  /** Clients that are being forgotten: audit of what was under way for them may still come. */
  readonly #leaving = new Map<number, DeviceClient>();
  /** Resolves the promises of `settled`, by client. */
  readonly #settling = new Map<number, (() => void)[]>();
  readonly #granting = new Map<number, { resolve: (tree: RemoteTree) => void; reject: (error: Error) => void }>();
  readonly #narrowing = new Map<number, { resolve: (narrowing: Narrowing) => void; reject: (error: Error) => void }>();
  #nextRequest = 1;
  #holds = 0;
  #gone: string | undefined;

  constructor(
    /** The number by which agents' kernels know it. No other device worker ever has the same. */
    readonly peer: Peer,
    kernel: WebAssembly.Module,
    assets: URL | undefined,
    /** Called once, when the worker can't be used any more. */
    private readonly onGone: () => void,
  ) {
    this.#handle = startWorker(true, assets);
    this.#handle.listen(
      (report) => this.#receive(report as DeviceReport),
      (error) => this.end(`the device worker failed: ${error.message}`),
    );
    this.#handle.post({ type: 'prepare-devices', kernel });
  }

  /**
   * Makes a capability for an agent; resolves to its tree. `identity` is what it keeps things under, `audit` its name in the audit, if there is one, and
   * `held` bounds the bytes that the worker holds for all capabilities of this client; 0 is no bound.
   *
   * @throws Error a sentence that says what is wrong with the grant
   */
  grant(client: number, receiver: DeviceClient, identity: string, audit: string | undefined, device: string, terms: string[], held: number): Promise<RemoteTree> {
    if (this.#gone !== undefined) return Promise.reject(new CapfsError('HOST', this.#gone));
    if (!this.#clients.has(client)) {
      this.#clients.set(client, receiver);
      this.#handle.post({ type: 'device-admit', client, held });
    }
    const request = this.#nextRequest++;
    this.#hold(1);
    const tree = new Promise<RemoteTree>((resolve, reject) => this.#granting.set(request, { resolve, reject }));
    this.#handle.post({ type: 'device-grant', request, client, identity, audit, device, terms });
    return tree.finally(() => this.#hold(-1));
  }

  /** Narrows a capability that an agent has there; the new tree is the same client's. */
  narrow(wanted: NarrowRequest): Promise<Narrowing> {
    if (this.#gone !== undefined) return Promise.reject(new CapfsError('EIO', this.#gone));
    const request = this.#nextRequest++;
    this.#hold(1);
    const narrowing = new Promise<Narrowing>((resolve, reject) => this.#narrowing.set(request, { resolve, reject }));
    this.#handle.post({ type: 'device-narrow', request, ...wanted });
    return narrowing.finally(() => this.#hold(-1));
  }

  /** Hands on a request of an agent's kernel. While too many of its requests are under way it waits, so that other agents' requests are served between. */
  request(client: number, bytes: Uint8Array): void {
    const receiver = this.#clients.get(client);
    if (this.#gone !== undefined) return receiver?.devicesLost(this.peer);
    if (!receiver) return;
    this.#enqueue(client, bytes);
  }

  #enqueue(client: number, what: Requests['waiting'][number]): void {
    const requests = this.#requests.get(client) ?? { underWay: 0, waiting: [] };
    this.#requests.set(client, requests);
    requests.waiting.push(what);
    this.#send(client, 0);
  }

  /** Resolves when the audit has been sent everything about an agent's requests until now, given-up ones included; at once where it has made none. */
  settled(client: number): Promise<void> {
    if (this.#gone !== undefined || !(this.#clients.has(client) || this.#leaving.has(client))) return Promise.resolve();
    this.#hold(1);
    const settled = new Promise<void>((resolve) => {
      this.#settling.set(client, [...(this.#settling.get(client) ?? []), resolve]);
      // A client that is being forgotten is settled by `device-forgotten`.
      if (this.#clients.has(client)) this.#enqueue(client, 'settle');
    });
    return settled.finally(() => this.#hold(-1));
  }

  #settle(client: number): void {
    const all = this.#settling.get(client) ?? [];
    this.#settling.delete(client);
    for (const resolve of all) resolve();
  }

  /** Sends as many of a client's waiting requests as the window allows. `taken` more of those under way have been taken. */
  #send(client: number, taken: number): void {
    const requests = this.#requests.get(client);
    if (!requests) return;
    requests.underWay -= taken;
    for (const what of requests.waiting.splice(0, DEVICE_WINDOW - requests.underWay)) {
      if (what === 'settle') {
        this.#handle.post({ type: 'device-settle', client });
        continue;
      }
      requests.underWay += 1;
      this.#handle.post({ type: 'device-request', client, bytes: what }, [what.buffer as ArrayBuffer]);
    }
  }

  /** Closes everything that an agent has open there. */
  forget(client: number): void {
    const receiver = this.#clients.get(client);
    this.#requests.delete(client);
    if (!receiver || this.#gone !== undefined) return void this.#clients.delete(client);
    this.#clients.delete(client);
    this.#leaving.set(client, receiver);
    this.#handle.post({ type: 'device-forget', client });
  }

  /** Counts outstanding questions, which keep Node's process running. (A running agent keeps it running by its own worker.) */
  #hold(change: 1 | -1): void {
    this.#holds += change;
    if (this.#holds > 0) this.#handle.hold?.();
    else this.#handle.release?.();
  }

  end(message: string): void {
    if (this.#gone !== undefined) return;
    this.#gone = message;
    this.#handle.terminate();
    for (const { reject } of this.#granting.values()) reject(new CapfsError('HOST', message));
    this.#granting.clear();
    for (const { reject } of this.#narrowing.values()) reject(new CapfsError('EIO', message));
    this.#narrowing.clear();
    this.#requests.clear();
    for (const client of this.#clients.values()) client.devicesLost(this.peer);
    this.#leaving.clear();
    for (const client of [...this.#settling.keys()]) this.#settle(client);
    this.onGone();
  }

  #receive(report: DeviceReport): void {
    if (this.#gone !== undefined) return;
    switch (report.type) {
      case 'device-granted': {
        const waiting = this.#granting.get(report.request);
        this.#granting.delete(report.request);
        if (report.tree !== undefined) waiting?.resolve(report.tree);
        else waiting?.reject(new Error(report.error));
        return;
      }
      case 'device-narrowed':
        this.#narrowing.get(report.request)?.resolve(report.narrowing);
        this.#narrowing.delete(report.request);
        return;
      case 'device-answer':
        this.#send(report.client, report.taken);
        return this.#clients.get(report.client)?.answered(this.peer, report.bytes);
      case 'device-taken':
        return this.#send(report.client, report.taken);
      case 'device-audit': {
        const { client, line, weight } = report;
        return (this.#clients.get(client) ?? this.#leaving.get(client))?.audited(line, () => {
          if (this.#gone === undefined) this.#handle.post({ type: 'device-told', client, weight });
        });
      }
      case 'device-settled':
        return this.#settle(report.client);
      case 'device-forgotten':
        this.#leaving.delete(report.client);
        return this.#settle(report.client);
      case 'device-failed':
        return this.end(`the device worker failed: ${report.message}`);
    }
  }
}
