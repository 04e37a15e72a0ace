/** The worker's half of a device worker: a kernel that makes capabilities and serves them to agents' kernels. */
import type { BindingsFactory } from '../both/kernels.js';
import { DEVICE_WINDOW, UNTOLD_MAX, auditWeight, type DeviceCommand, type DeviceReport, type Sender } from '../both/protocol.js';
import { turn } from '../both/turn.js';
import { KernelInstance } from './kernel-instance.js';

export class DeviceServer {
  readonly #kernel: KernelInstance;
  #advancing = false;
  /** How many requests of each client have been taken that the page has not been told of. */
  readonly #taken = new Map<number, number>();
  /** The weight of each client's audit lines that its page's function has not been called for. While it is too much, the page sends no more requests of that client. */
  readonly #untold = new Map<number, number>();

  constructor(
    private readonly port: Sender<DeviceReport>,
    module: WebAssembly.Module,
    bindings: BindingsFactory,
  ) {
    this.#kernel = new KernelInstance(module, bindings);
    this.#kernel.bindings.on_wake(() => this.#wake());
  }

  receive(command: Exclude<DeviceCommand, { type: 'prepare-devices' }>): void {
    const kernel = this.#kernel.bindings;
    const { client } = command;
    try {
      switch (command.type) {
        case 'device-admit':
          this.#untold.set(client, 0);
          kernel.remote_admit(client, command.held);
          break;
        case 'device-grant':
          void this.#grant(command);
          break;
        case 'device-narrow': {
          const narrowing = kernel.narrow(command);
          this.port.post({ type: 'device-narrowed', request: command.request, narrowing });
          break;
        }
        case 'device-request':
          this.#taken.set(client, (this.#taken.get(client) ?? 0) + 1);
          kernel.remote_serve(client, command.bytes, (bytes: Uint8Array) => {
            this.port.post({ type: 'device-answer', client, bytes, taken: this.#tell(client) }, [bytes.buffer as ArrayBuffer]);
          });
          // Most are told along with an answer, which costs no extra message.
          if ((this.#taken.get(client) ?? 0) >= DEVICE_WINDOW / 2) this.#tellTaken(client);
          break;
        case 'device-told': {
          const before = this.#untold.get(client);
          if (before === undefined) break;
          this.#untold.set(client, before - command.weight);
          if (before > UNTOLD_MAX) this.#tellTaken(client);
          break;
        }
        case 'device-settle':
          this.#afterwards({ type: 'device-settled', client });
          break;
        case 'device-forget':
          this.#taken.delete(client);
          this.#untold.delete(client);
          kernel.remote_forget(client);
          this.#afterwards({ type: 'device-forgotten', client });
      }
    } catch (error) {
      this.#failed(error);
    }
  }

  #tellTaken(client: number): void {
    const taken = this.#tell(client);
    if (taken > 0) this.port.post({ type: 'device-taken', client, taken });
  }

  /** Posts a report after the audit of everything that has been given up so far: that takes one turn of the event loop. */
  #afterwards(report: DeviceReport): void {
    void turn().then(() => this.port.post(report));
  }

  /** How many taken requests of a client the page may be told of now: none while its audit lags behind. */
  #tell(client: number): number {
    if ((this.#untold.get(client) ?? 0) > UNTOLD_MAX) return 0;
    const taken = this.#taken.get(client) ?? 0;
    this.#taken.delete(client);
    return taken;
  }

  async #grant({ request, client, identity, audit, device, terms }: Extract<DeviceCommand, { type: 'device-grant' }>): Promise<void> {
    const tell = audit === undefined ? undefined : (line: string) => this.#audited(client, line);
    try {
      const tree = await this.#kernel.bindings.remote_grant({ client, identity, agent: audit ?? '', device, terms, audit: tell });
      this.port.post({ type: 'device-granted', request, tree });
    } catch (error) {
      if (this.#kernel.panic !== undefined) return this.#failed(error);
      this.port.post({ type: 'device-granted', request, error: error instanceof Error ? error.message : String(error) });
    }
  }

  #audited(client: number, line: string): void {
    const weight = auditWeight([line]);
    const before = this.#untold.get(client);
    if (before !== undefined) this.#untold.set(client, before + weight);
    this.port.post({ type: 'device-audit', client, line, weight });
  }

  /** Called from inside the kernel, which must return before it is called again. */
  #wake(): void {
    if (this.#advancing) return;
    this.#advancing = true;
    queueMicrotask(() => {
      this.#advancing = false;
      try {
        this.#kernel.bindings.advance();
      } catch (error) {
        this.#failed(error);
      }
    });
  }

  /** After a trap the kernel can't be used any more. */
  #failed(error: unknown): void {
    this.port.post({ type: 'device-failed', message: this.#kernel.panic ?? String(error) });
  }
}
