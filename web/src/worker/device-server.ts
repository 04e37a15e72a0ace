/** The worker's half of a device worker: a kernel that makes capabilities and serves them to agents' kernels. */
import type { BindingsFactory } from '../both/kernels.js';
import { DEVICE_WINDOW, UNTOLD_MAX, auditWeight, type DeviceCommand, type DeviceReport, type Narrowing, type Sender } from '../both/protocol.js';
import { turn } from '../both/turn.js';
import { KernelInstance } from './kernel-instance.js';

export class DeviceServer {
  readonly #kernel: KernelInstance;
  #advancing = false;
  /** How many requests of each client have been taken of which the page doesn't know. */
  readonly #taken = new Map<number, number>();
  /** What was sent to the audit of each client and is not told yet, as it counts. As long as that is too much, no more of the client's requests come. */
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
          const narrowing = kernel.narrow(client, command.tree, command.device, command.terms, command.check) as Narrowing;
          this.port.post({ type: 'device-narrowed', request: command.request, narrowing });
          break;
        }
        case 'device-request':
          this.#taken.set(client, (this.#taken.get(client) ?? 0) + 1);
          kernel.remote_serve(client, command.bytes, (bytes: Uint8Array) => {
            this.port.post({ type: 'device-answer', client, bytes, taken: this.#tell(client) }, [bytes.buffer as ArrayBuffer]);
          });
          // Answers tell of most, which is no message more.
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

  /** Reports something behind what was given up until now: that ends, and is told, before the event loop comes round. */
  #afterwards(report: DeviceReport): void {
    void turn().then(() => this.port.post(report));
  }

  /** How many requests of a client the page is to be told of now: none while its audit lags behind. */
  #tell(client: number): number {
    if ((this.#untold.get(client) ?? 0) > UNTOLD_MAX) return 0;
    const taken = this.#taken.get(client) ?? 0;
    this.#taken.delete(client);
    return taken;
  }

  async #grant({ request, client, identity, audit, device, terms }: Extract<DeviceCommand, { type: 'device-grant' }>): Promise<void> {
    const tell = audit === undefined ? undefined : (line: string) => this.#audited(client, line);
    try {
      const tree = await this.#kernel.bindings.remote_grant(client, identity, audit ?? '', device, terms, tell);
      this.port.post({ type: 'device-granted', request, tree });
    } catch (error) {
      this.port.post({ type: 'device-granted', request, error: error instanceof Error ? error.message : String(error) });
    }
  }

  #audited(client: number, line: string): void {
    const weight = auditWeight([line]);
    const before = this.#untold.get(client);
    if (before !== undefined) this.#untold.set(client, before + weight);
    this.port.post({ type: 'device-audit', client, line, weight });
  }

  /** Called from inside of the kernel: it must have returned before it is called again. */
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

  /** After a trap nothing of the kernel can be used any more. */
  #failed(error: unknown): void {
    this.port.post({ type: 'device-failed', message: this.#kernel.panic ?? String(error) });
  }
}
